"""RadCliQ: the published models' numbers, a board's own rows, BLEU-2 as NLTK smooths it, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrgbench.errors import UsageError
from rrgbench.metrics.radcliq import FEATURES, SOURCES, V0, V1, Model, RadCliQ, RadCliQV0, RadCliQV1, bleu2
from rrgbench.parts import load_class, options
from rrgbench.plugins import catalogue
from rrgbench.specs import Spec
from rrgbench.types import Case, Report, Study

# All four features at 0, .5 and 1: worked out from the models' constants rounded to seven digits, hence 2e-6.
GOLDEN = [(0.0, 5.516162, 2.450143), (0.5, 2.637014, 0.504726), (1.0, -0.242134, -1.440690)]

# ReXrank's own results (rajpurkarlab/ReXrank@8152f99, results/): the means of RadGraph, BERTScore, SembScore and BLEU-2
# of a system, rounded to three digits, then its RadCliQ-v0 and v1.
REXRANK = {
    "MedVersa, IU X-Ray test": (0.244, 0.518, 0.601, 0.195, 2.581, 0.692),
    "CheXagent, MIMIC-CXR test": (0.146, 0.304, 0.331, 0.094, 3.816, 1.437),
    "RadFM, CheXpert Plus valid": (0.027, -0.038, 0.229, 0.067, 5.206, 2.251),
    "GPT4V, CheXpert Plus valid": (0.028, -0.065, 0.208, 0.055, 5.318, 2.316),
}
ROUNDING = 0.004  # what rounding the four parts to three digits can do to v0 (its largest weight is 3 per unit)


def case(study_id: str, candidate: str = "any", reference: str | None = None) -> Case:
    return Case(Study(study_id, study_id), None, Report(candidate), candidate, reference)


def features(file: Path, rows: Sequence[Sequence[float | str]]) -> Path:
    index = pd.Index([f"s{at}" for at in range(len(rows))], name="study_id")
    pd.DataFrame(rows, columns=list(FEATURES), index=index).to_csv(file)
    return file


def scored(metric: RadCliQ, studies: int) -> dict[str, float]:
    rows = metric.rows([case(f"s{at}") for at in range(studies)])
    return {name: float(value) for name, value in metric.reduce(rows).items()}  # type: ignore[attr-defined]


@pytest.mark.parametrize(("value", "v0", "v1"), GOLDEN)
def test_the_golden_values_of_the_published_models(tmp_path: Path, value: float, v0: float, v1: float) -> None:
    file = features(tmp_path / "f.csv", [[value] * 4])
    assert scored(RadCliQV0(file), 1)["radcliq_v0"] == pytest.approx(v0, abs=2e-6)
    assert scored(RadCliQV1(file), 1)["radcliq_v1"] == pytest.approx(v1, abs=2e-6)


@pytest.mark.parametrize("row", REXRANK.values(), ids=REXRANK)
def test_rows_of_rexrank_follow_from_the_means_of_their_parts(row: tuple[float, ...]) -> None:
    parts = np.array([row[:4]])
    assert V0.predict(parts)[0] == pytest.approx(row[4], abs=ROUNDING)
    assert V1.predict(parts)[0] == pytest.approx(row[5], abs=ROUNDING)


def test_every_published_row_follows_from_the_means_of_its_parts(shared: Path) -> None:
    file = shared.parent / "reference" / "published_numbers.json"
    if not file.exists():
        pytest.skip(f"the published numbers are not here ({file})")
    rows = [
        row["metrics"] for row in json.loads(file.read_text())["rows"] if {"RadCliQ_v1", "BLEU2"} <= {*row["metrics"]}
    ]
    assert len(rows) == 50
    parts = np.array([[row[name] for name in ("RadGraph", "BERTScore", "SembScore", "BLEU2")] for row in rows])
    for model, name in ((V0, "RadCliQ_v0"), (V1, "RadCliQ_v1")):
        assert model.predict(parts) == pytest.approx([row[name] for row in rows], abs=ROUNDING)


def test_v0_is_better_for_a_lower_bleu_and_v1_does_not_look_at_it(tmp_path: Path) -> None:
    file = features(tmp_path / "f.csv", [[0.5, 0.5, 0.5, bleu] for bleu in (0.0, 1.0)])
    low, high = RadCliQV0(file).rows([case("s0"), case("s1")])["radcliq_v0"]
    assert high - low == pytest.approx(0.7139, abs=1e-4)
    low, high = RadCliQV1(file).rows([case("s0"), case("s1")])["radcliq_v1"]
    assert high == pytest.approx(low, abs=1e-9)


@pytest.mark.parametrize("model", [V0, V1])
@pytest.mark.parametrize("feature", [0, 1, 2])
def test_more_of_the_three_other_features_is_better(model: Model, feature: int) -> None:
    assert model.predict(np.eye(4)[[feature]])[0] < model.predict(np.zeros((1, 4)))[0]


def test_lower_is_better_and_the_inverse_has_a_name_and_a_direction_of_its_own() -> None:
    assert RadCliQV0.higher_is_better == {"radcliq_v0": False}
    assert RadCliQV1.higher_is_better == {"radcliq_v1": False, "radcliq_v1_inverse": True}


def test_the_inverse_is_of_the_mean_and_undefined_beyond_its_pole(tmp_path: Path) -> None:
    metric = RadCliQV1(features(tmp_path / "f.csv", [[0.0] * 4, [0.5] * 4, [1.0] * 4]))
    rows = metric.rows([case("s0"), case("s1"), case("s2")])
    weights = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    drawn = metric.reduce(rows, weights)
    assert drawn["radcliq_v1"] == pytest.approx([1.4774347, -1.4406902], abs=1e-6)
    assert drawn["radcliq_v1_inverse"][0] == pytest.approx(1 / 1.4774347, abs=1e-6)
    assert np.isnan(drawn["radcliq_v1_inverse"][1])
    assert metric.reduce(rows)["radcliq_v1_inverse"] == pytest.approx(3 / (2.450143 + 0.504726 - 1.440690), abs=1e-5)


def test_a_report_without_a_row_or_with_a_blank_has_no_score_and_the_others_keep_theirs(tmp_path: Path) -> None:
    metric = RadCliQV0(features(tmp_path / "f.csv", [[0.5] * 4, [0.5, "", 0.5, 0.5]]))
    with pytest.warns(UserWarning, match="no row for 1 reports: other"):
        rows = metric.rows([case("other"), case("s1"), case("s0")])
    assert rows.isna().all(axis=1).tolist() == [True, True, False]
    assert metric.reduce(rows)["radcliq_v0"] == pytest.approx(2.637014, abs=1e-6)


def test_a_file_by_study_can_t_stand_for_several_reports_of_one(tmp_path: Path) -> None:
    metric = RadCliQV0(features(tmp_path / "f.csv", [[0.5] * 4]))
    with pytest.raises(UsageError, match="study s0 has several reports"):
        metric.rows([case("s0", "one"), case("s0", "two")])


@pytest.mark.parametrize(
    ("row", "message"),
    [(["x", 0, 0, 0], "row 1, column 'radgraph_combined': 'x' is not a number"), ([0.2, 31.4, 0, 0], "not per cent")],
)
def test_a_cell_that_can_t_be_a_feature_is_named(tmp_path: Path, row: list[float | str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        RadCliQV0(features(tmp_path / "f.csv", [row]))


def test_a_file_without_a_feature_is_refused_by_name(tmp_path: Path) -> None:
    file = features(tmp_path / "f.csv", [[0.5] * 4])
    file.write_text(file.read_text().replace("semb", "sembscore"))
    with pytest.raises(UsageError, match="no column semb;"):
        RadCliQV1(file)


class Given:
    """A metric that gives each report the length of its text in a column, and counts how often it is asked."""

    version = "1"
    needs = ("report", "reference")
    higher_is_better = {"any": True}

    def __init__(self, column: str) -> None:
        self.column = column
        self.asked: list[list[str | None]] = []

    def rows(self, cases: Sequence[Case]) -> pd.DataFrame:
        self.asked.append([case.candidate for case in cases])
        lengths = [len(case.candidate or "") / 100 for case in cases]
        return pd.DataFrame({self.column: lengths}, index=[case.study.study_id for case in cases])

    def reduce(self, rows: pd.DataFrame, weights: object = None) -> dict[str, float]:
        raise AssertionError("RadCliQ reduces by itself")


def test_features_come_from_three_metrics_and_the_texts_once_for_both_versions() -> None:
    radgraph, bertscore, semb = Given("radgraph_combined"), Given("bertscore_f1"), Given("chexbert_similarity")
    cases = [case("a", "No  effusion.", "No effusion."), case("b", "", "No effusion.")]
    v0 = RadCliQV0(radgraph_combined=radgraph, bertscore=bertscore, semb=semb).rows(cases)
    RadCliQV1(radgraph_combined=radgraph, bertscore=bertscore, semb=semb).rows(cases)
    assert v0[list(FEATURES)].to_numpy() == pytest.approx(np.array([[0.13, 0.12, 0.13, 1.0], [0.0, 0.0, 0.0, 0.0]]))
    assert v0["radcliq_v0"].to_numpy() == pytest.approx(V0.predict(v0[list(FEATURES)].to_numpy()))
    assert bertscore.asked == [["No effusion.", ""]]  # single spaces, as run_eval.py gives it
    assert radgraph.asked == semb.asked == [["No  effusion.", ""]]
    again = RadCliQV0(radgraph_combined=radgraph, bertscore=bertscore, semb=semb).rows(cases[1:])
    assert again["semb"].tolist() == [0.0]


def test_metrics_and_a_file_at_once_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not both"):
        RadCliQV0(features(tmp_path / "f.csv", [[0.5] * 4]), semb=Given("chexbert_similarity"))


@pytest.mark.parametrize("feature", SOURCES)
def test_the_metrics_that_it_takes_by_default_know_their_options(feature: str) -> None:
    spec = Spec.of(SOURCES[feature].spec)
    entry = next((entry for entry in catalogue().of_kind("metric") if entry.name == spec.name), None)
    if entry is None or entry.missing():
        pytest.skip(f"needs {SOURCES[feature].distribution}")
    assert set(spec.options) <= {option.name for option in options(load_class(entry), entry)}


def test_without_the_metrics_it_says_which_plugin_has_them_and_how_to_do_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # no weights here
    with pytest.raises(UsageError, match=r"(?s)rrgbench-\w+, or all features from a file: radcliq_v1:features=F\.csv"):
        RadCliQV1(bertscore=Given("bertscore_f1"), semb=Given("chexbert_similarity"))


WORDS = st.lists(st.sampled_from(["no", "effusion", "Effusion", "small", ".", "left.", "a.b", "\n", "é"]), max_size=12)


@given(WORDS, WORDS, st.sampled_from([" ", "  "]))
def test_bleu2_is_nltk_s_with_smoothing_method_1(made: list[str], truth: list[str], space: str) -> None:
    """fast_bleu is NLTK's sentence_bleu in C++, with method1 by default (its README and nltk.cpp)."""
    bleu = pytest.importorskip("nltk.translate.bleu_score", reason="needs nltk")
    candidate, reference = space.join(made), space.join(truth)
    words = [[w for w in text.lower().replace(".", " .").split(" ") if w] for text in (candidate, reference)]
    smoothing = bleu.SmoothingFunction().method1
    expected = bleu.sentence_bleu([words[1]], words[0], (0.5, 0.5), smoothing) if all(words) else 0.0
    assert bleu2(candidate, reference) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("candidate", "reference", "expected"),
    [
        # A pair of fast_bleu's README: 12 of 18 words and 8 of 17 pairs, and longer than the reference.
        (
            "It is a guide to action which ensures that the military always obeys the commands of the party",
            "It is a guide to action that ensures that the military will forever heed Party commands",
            (12 / 18 * 8 / 17) ** 0.5,
        ),
        ("Normal.", "normal .", 1.0),
        ("normal", "normal", 0.1**0.5),  # no pair of words on either side
        ("", "normal", 0.0),
        ("normal", "", 0.0),
        ("", "", 0.0),
    ],
)
def test_bleu2_worked_out_by_hand(candidate: str, reference: str, expected: float) -> None:
    assert bleu2(candidate, reference) == pytest.approx(expected)


@given(st.text(), st.text())
def test_bleu2_answers_any_text(candidate: str, reference: str) -> None:
    assert 0.0 <= bleu2(candidate, reference) <= 1.0
