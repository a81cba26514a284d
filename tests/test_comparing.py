"""Comparing runs: what is computed, from which studies, and what is refused."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import rrgbench
from rrgbench import hookimpl, hookspecs, plugins, stats
from rrgbench.comparing import Compared, Comparison, compare
from rrgbench.errors import UsageError
from rrgbench.labels import CHEXPERT
from rrgbench.runs import RunResult
from rrgbench.types import Case

NORMAL = "The lungs are clear. The heart is normal in size."
FINDINGS = (
    "There is a small left pleural effusion.",
    "Cardiomegaly is stable.",
    "There is a right pneumothorax.",
    "Bibasilar atelectasis is unchanged.",
    "Pulmonary edema has worsened.",
)
METRICS = ["rulelabel", "temporal_f1", "wording"]

Score = Callable[..., RunResult]


def references(n: int = 40) -> dict[str, str]:
    return {f"s{at:02d}": NORMAL if at % 4 == 0 else FINDINGS[at % 5] for at in range(n)}


def good(of: Mapping[str, str], wrong: int = 5) -> dict[str, str]:
    """The references, but for every ``wrong``-th, which is a normal report."""
    return {study_id: NORMAL if at % wrong == 1 else text for at, (study_id, text) in enumerate(of.items())}


def constant(of: Mapping[str, str]) -> dict[str, str]:
    return dict.fromkeys(of, NORMAL)


@pytest.fixture
def score(tmp_path: Path) -> Score:
    """Score reports against references, into a folder; ``patients`` maps a study to its patient."""

    def call(
        reports: Mapping[str, str],
        truth: Mapping[str, str] | None = None,
        patients: Callable[[str], str] | None = None,
        **given: Any,
    ) -> RunResult:
        truth = truth or references()
        frame = pd.DataFrame({"study_id": list(truth), "report": list(truth.values())})
        if patients:
            frame["patient_id"] = [patients(study_id) for study_id in truth]
        options = {"metrics": METRICS, "resamples": 50, "out": tmp_path / "runs", "terms": "open", **given}
        return rrgbench.score(dict(reports), frame, **options)

    return call


def one(found: Compared, metric: str) -> Comparison:
    (comparison,) = (each for each in found.comparisons if each.metric == metric)
    return comparison


def test_a_run_equals_itself(score: Score) -> None:
    run = score(good(references()))
    found = compare([run, run], ["all"], swaps=99)
    assert len(found.comparisons) > 80
    for each in found.comparisons:
        if each.value_a is None:
            assert each.reason and each.p is None
            continue
        assert (each.difference, each.p, each.better, each.worse) == (0.0, 1.0, 0, 0)
        assert each.same == each.n == 40


def test_what_is_said_of_two_systems(score: Score) -> None:
    truth = references()
    found = compare([score(constant(truth)), score(good(truth))], ["exact_match", "rulelabel_micro_f1_14"])
    assert [each.metric for each in found.comparisons] == ["rulelabel_micro_f1_14", "exact_match"]
    exact = one(found, "exact_match")
    # constant is right of the 10 normal ones; good of all but the 6 wrong ones that are not normal anyway.
    assert (exact.value_a, exact.value_b) == (0.25, 0.85)
    assert exact.difference == pytest.approx(0.6)
    assert exact.ci and exact.ci[0] < 0.6 < exact.ci[1] and exact.ci[0] > 0.3
    assert exact.p == pytest.approx(1 / 10_001)
    assert (exact.better, exact.worse, exact.same) == (24, 0, 16)
    assert exact.smallest == pytest.approx(2.80 * (0.6 * 0.4 / 40) ** 0.5, rel=0.1)
    assert len(exact.most_better) == 5 and exact.most_better[0].gain == pytest.approx(1.0)
    assert (exact.n, exact.n_patients, exact.higher_is_better, exact.reason) == (40, 40, True, None)
    clinical = one(found, "rulelabel_micro_f1_14")
    assert clinical.difference and clinical.difference > 0.5 and clinical.worse == 0


def test_values_are_those_of_scores_json(score: Score) -> None:
    truth = references()
    runs = [score(constant(truth)), score(good(truth))]
    stored = [{each.metric: each.value for each in run.scores} for run in runs]
    for each in compare(runs, ["all"], swaps=9).comparisons:
        assert each.value_a == pytest.approx(stored[0][each.metric])
        assert each.value_b == pytest.approx(stored[1][each.metric])


def test_p_is_that_of_enumeration(score: Score) -> None:
    truth = references(8)
    found = one(compare([score(constant(truth), truth), score(good(truth, 4), truth)], ["exact_match"]), "exact_match")
    differences = np.array([good(truth, 4)[s] == truth[s] for s in truth], int) - [truth[s] == NORMAL for s in truth]
    signs = np.array(list(itertools.product([-1, 1], repeat=8)))
    exact = (np.abs(signs @ differences) >= abs(differences.sum())).mean()
    assert found.p == pytest.approx(exact, abs=0.015)


def test_p_of_a_corpus_score_is_that_of_scoring_swapped_reports(score: Score) -> None:
    """Micro F1 is no mean of reports: each swap must give what scoring the swapped reports gives."""
    truth = references(5)
    ours, theirs = constant(truth), good(truth)
    differences = []
    for swap in itertools.product([False, True], repeat=4):  # the fifth stays: swapping all changes the sign alone
        sides = ((ours, theirs), (theirs, ours))
        mixed = [{s: (b if on else a)[s] for s, on in zip(truth, (*swap, False), strict=True)} for a, b in sides]
        values = [{e.metric: e.value for e in score(each, truth, metrics=["rulelabel"]).scores} for each in mixed]
        one_value, other_value = (each["rulelabel_micro_f1_14"] or 0.0 for each in values)
        differences.append(other_value - one_value)
    exact = float((np.abs(differences) >= abs(differences[0]) - 1e-12).mean())
    found = compare([score(ours, truth), score(theirs, truth)], ["rulelabel_micro_f1_14"])
    assert one(found, "rulelabel_micro_f1_14").p == pytest.approx(exact, abs=0.015)


def test_a_study_s_gain_is_what_the_score_gains_by_its_report(score: Score) -> None:
    truth = references(12)
    ours, theirs = good(truth, 2), good(truth, 3)
    found = one(compare([score(ours, truth), score(theirs, truth)], ["rulelabel_micro_f1_14"]), "rulelabel_micro_f1_14")
    gains = {each.study_id: each.gain for each in (*found.most_better, *found.most_worse)}
    assert gains
    assert found.value_a is not None and found.value_b is not None
    for study_id, gain in gains.items():
        with_theirs, with_ours = (
            next(e.value for e in score(each, truth, metrics=["rulelabel"]).scores if e.metric == found.metric) or 0.0
            for each in ({**ours, study_id: theirs[study_id]}, {**theirs, study_id: ours[study_id]})
        )
        assert gain == pytest.approx(12 * ((with_theirs - found.value_a) + (found.value_b - with_ours)) / 2)


def test_where_lower_is_better_a_gain_is_still_better(score: Score) -> None:
    truth = references()
    brief = dict.fromkeys(truth, "Clear.")
    found = one(compare([score(brief), score(good(truth))], ["length_error"]), "length_error")
    assert not found.higher_is_better and found.difference is not None and found.difference < 0
    assert found.better and not found.worse


def test_the_studies_of_a_patient_change_sides_together(score: Score) -> None:
    truth = references(20)
    alone, clustered = (
        compare([score(constant(truth), truth, by), score(good(truth), truth, by)], ["exact_match"])
        for by in (None, lambda study_id: str(int(study_id[1:]) // 5))
    )
    assert one(clustered, "exact_match").n_patients == 4
    assert one(alone, "exact_match").p == pytest.approx(1 / 2**11, abs=1e-3)
    assert one(clustered, "exact_match").p == pytest.approx(2 / 2**4, abs=0.02)


def test_intervals_are_bca_over_patients(score: Score) -> None:
    truth = references()
    patients = {study_id: f"p{at // 7 if at < 20 else at}" for at, study_id in enumerate(truth)}
    runs = [score(made, truth, patients.__getitem__, resamples=400) for made in (constant(truth), good(truth))]
    right = [np.array([made[s] == truth[s] for s in truth], float) for made in (constant(truth), good(truth))]
    weights = stats.patient_weights(list(patients.values()), 400, 0), stats.left_out_weights(list(patients.values()))

    def bca(values: np.ndarray) -> Any:
        return stats.bca_interval(float(values.mean()), *(stats.mean(values, each) for each in weights))

    own = {each.metric: each.ci for each in runs[1].scores}["exact_match"]
    assert own == pytest.approx(bca(right[1])) and runs[1].summary["intervals"] == "bca"
    found = one(compare(runs, ["exact_match"], resamples=400), "exact_match")
    assert found.ci == pytest.approx(bca(right[1] - right[0]))


def test_of_one_patient_nothing_is_said(score: Score) -> None:
    truth = references(6)
    found = one(
        compare([score(r, truth, lambda _: "p") for r in (constant(truth), good(truth))], ["exact_match"]),
        "exact_match",
    )
    assert found.difference is not None and found.p is found.ci is found.better is None
    assert found.reason and "two patients" in found.reason


def test_p_values_are_adjusted_for_all_comparisons_shown(score: Score) -> None:
    truth = references()
    runs = [score(constant(truth)), score(good(truth)), score(good(truth, 4))]
    found = compare(runs, ["temporal_f1", "exact_match"])
    assert [each.b for each in found.comparisons] == [name for name in found.runs[1:] for _ in range(2)]
    p = [each.p for each in found.comparisons if each.p is not None]
    assert len(p) == 4
    assert [each.p_holm for each in found.comparisons] == pytest.approx(stats.holm(p))
    assert [each.p_bh for each in found.comparisons] == pytest.approx(stats.benjamini_hochberg(p))


def test_the_headline_scores_are_compared_unless_others_are_asked_for(score: Score) -> None:
    truth = references()
    runs = [score(constant(truth)), score(good(truth))]
    assert [e.metric for e in compare(runs).comparisons] == ["rulelabel_micro_f1_14", "rulelabel_macro_f1_14"]
    frame = compare(runs, ["temporal_f1"]).frame()
    assert list(frame["metric"]) == ["temporal_f1"]
    assert {"protocol", "a", "b", "value_a", "difference", "ci", "p", "p_holm", "p_bh", "smallest"} <= set(
        frame.columns
    )


def test_runs_of_one_system_are_told_apart_by_their_folders(score: Score) -> None:
    truth = references()
    runs = [score(constant(truth)), score(good(truth))]
    assert compare(runs, ["exact_match"]).runs == tuple(f"reports ({run.folder.name})" for run in runs if run.folder)


def test_only_studies_that_both_scored_are_compared(score: Score) -> None:
    truth = references()
    made = good(truth)
    del made["s01"], made["s02"]
    found = compare([score(constant(truth)), score(made)], ["exact_match"])
    exact = one(found, "exact_match")
    assert exact.n == 38
    assert exact.value_a == pytest.approx(10 / 38)  # s01 and s02 are not normal
    (note,) = found.notes
    assert "40" in note and "38 that both have" in note


def test_two_runs_without_a_study_in_common(score: Score) -> None:
    truth = references()
    halves = [{s: NORMAL for at, s in enumerate(truth) if at % 2 == part} for part in (0, 1)]
    found = one(compare([score(half) for half in halves], ["exact_match"]), "exact_match")
    assert (found.n, found.value_a, found.difference, found.p) == (0, None, None, None) and found.reason


def test_two_scales_of_the_same_beliefs_have_the_same_p(tmp_path: Path) -> None:
    """AUROC looks at order alone: an encoder whose probabilities are all small must not differ by that."""
    rng = np.random.default_rng(0)
    n = 60
    sick = rng.random(n) < 0.4
    labels = ["Cardiomegaly" if each else "No Finding" for each in sick]
    ids = [f"s{at}" for at in range(n)]
    pd.DataFrame({"study_id": ids, "labels": labels}).to_csv(tmp_path / "t.csv", index=False)

    def run(name: str, beliefs: np.ndarray) -> RunResult:
        file = tmp_path / f"{name}.csv"
        pd.DataFrame({"study_id": ids, "p_Cardiomegaly": beliefs, "p_No Finding": 0.5}).to_csv(file, index=False)
        spec = {"findings": {"path": str(file), "id": "study_id", "prefix": "p_", "threshold": 0.5}}
        dataset = f"table:path={tmp_path / 't.csv'},labels=labels,terms=open"
        options: dict[str, Any] = {"metric": ["classification"], "resamples": 20, "out": tmp_path / "runs"}
        (result,) = rrgbench.run(dataset=dataset, encoder=[spec], llm=["template"], **options).runs
        return result

    base = run("base", np.clip(0.5 + 0.12 * sick + rng.normal(0, 0.15, n), 0, 1))
    beliefs = np.clip(0.5 + 0.3 * sick + rng.normal(0, 0.15, n), 0.01, 0.99)
    wide, narrow = (
        compare([base, run(name, p)], ["auroc_cardiomegaly"]) for name, p in (("w", beliefs), ("n", beliefs / 10))
    )
    assert one(wide, "auroc_cardiomegaly").p == one(narrow, "auroc_cardiomegaly").p
    assert (one(narrow, "auroc_cardiomegaly").p or 1) < 0.05


# --- what is refused --------------------------------------------------------------------------------------------------


def test_other_studies_are_refused(score: Score) -> None:
    truth, others = references(), references(30)
    with pytest.raises(UsageError, match="not on the same studies: .* is on 40 of references.* on 30 of references"):
        compare([score(constant(truth)), score(constant(others), others)])
    changed = {**truth, "s00": "Cardiomegaly."}
    with pytest.raises(UsageError, match="their reports or their labels are not the same ones"):
        compare([score(constant(truth)), score(constant(changed), changed)])


def test_another_way_to_count_failures_is_refused(score: Score) -> None:
    truth = references()
    made = good(truth)
    del made["s01"]
    with pytest.raises(UsageError, match=r"failures are exclude in .*, empty in .*--failures exclude"):
        compare([score(constant(truth)), score(made, failures="empty")])


def test_another_protocol_is_refused(score: Score) -> None:
    truth = references()
    with pytest.raises(UsageError, match="scored under full-text, .* under standard: no protocol in common"):
        compare([score(constant(truth)), score(good(truth), protocol="standard")])


def test_another_signature_is_refused_and_the_difference_said(score: Score, tmp_path: Path) -> None:
    truth = references()
    labels = pd.DataFrame(0, index=pd.Index(list(truth), name="study_id"), columns=list(CHEXPERT.labels))
    labels.to_csv(tmp_path / "labels.csv")
    read = f"rulelabel:reference_labels={tmp_path / 'labels.csv'}"
    runs = [score(constant(truth)), score(good(truth), metrics=[read, "wording"])]
    with pytest.raises(
        UsageError, match="not computed alike in A .*the file of the references' labels: not stated in A"
    ):
        compare(runs, ["rulelabel_micro_f1_14"])
    found = compare(runs, ["all"], swaps=9)  # the others can be compared
    assert {each.metric for each in found.comparisons} == {
        "exact_match",
        "length_error",
        "distinct_reports",
        "distinct_words",
    }
    assert any("rulelabel_micro_f1_14" in note and "left out" in note for note in found.notes)


def test_a_score_that_is_not_there_is_said_with_the_nearest(score: Score) -> None:
    run = score(good(references()))
    with pytest.raises(UsageError, match=r"no value of 'exact_matches'\. Did you mean 'exact_match'"):
        compare([run, run], ["exact_matches"])


def test_what_is_no_two_runs_is_refused(score: Score, tmp_path: Path) -> None:
    run = score(good(references()))
    assert run.folder
    with pytest.raises(UsageError, match="at least two"):
        compare([run.folder])
    with pytest.raises(UsageError, match="not a run folder"):
        compare([run.folder, tmp_path / "nothing"])
    kept_nowhere = rrgbench.score(good(references()), references(), metrics=METRICS, resamples=0)
    with pytest.raises(UsageError, match="kept no folder"):
        compare([run, kept_nowhere])


def test_rows_that_don_t_give_the_score_any_more_are_left_out(score: Score) -> None:
    truth = references()
    runs = [score(constant(truth)), score(good(truth))]
    assert runs[0].folder
    file = runs[0].folder / "scores.json"
    summary = json.loads(file.read_text())
    for each in summary["scores"]:
        each["value"] = 0.5 if each["metric"] == "exact_match" else each["value"]
    file.write_text(json.dumps(summary))
    found = compare(runs, ["exact_match", "temporal_f1"])
    assert [each.metric for each in found.comparisons] == ["temporal_f1"]
    assert any("exact_match" in note and "score the folder again" in note for note in found.notes)


# --- metrics that can't be resampled or swapped -----------------------------------------------------------------------


class Words:
    """Two scores of the number of words: the mean, and the mean over the most of all rows given."""

    version = "1"
    needs = ("report",)
    higher_is_better: Mapping[str, bool] = {"words": True, "words_of_most": True}

    def rows(self, cases: Sequence[Case]) -> pd.DataFrame:
        return pd.DataFrame({"n": [len((c.candidate or "").split()) for c in cases]}, [c.study.study_id for c in cases])

    def reduce(self, rows: pd.DataFrame, weights: np.ndarray | None = None) -> Mapping[str, Any]:
        mean = stats.mean(rows["n"], stats.unit_weights(weights, len(rows)))
        out = {"words": mean, "words_of_most": mean / rows["n"].max()}
        return out if weights is not None else {name: value[0] for name, value in out.items()}


class Fixed(Words):
    resamplable = False


class Plugin:
    name = value = "words"
    dist = None

    def load(self) -> object:
        return self

    @hookimpl
    def rrgbench_register_metrics(self, register: hookspecs.Register) -> None:
        register("words", "tests.test_comparing:Words")
        register("fixed", "tests.test_comparing:Fixed")


@pytest.fixture
def _words(monkeypatch: pytest.MonkeyPatch) -> None:
    there = plugins.load([Plugin()])  # type: ignore[list-item]
    assert there.plugins[-1].problem is None
    monkeypatch.setattr(plugins, "catalogue", lambda: there)


@pytest.mark.usefixtures("_words")
def test_a_score_that_looks_at_the_other_run_s_rows_is_not_tested(score: Score) -> None:
    truth = references()
    brief = dict.fromkeys(truth, "Clear.")
    found = compare([score(brief, metrics=["words"]), score(good(truth), metrics=["words"])], swaps=99)
    assert one(found, "words").p == 0.01
    most = one(found, "words_of_most")
    assert most.p is most.better is None and most.ci and most.reason and "can't be swapped" in most.reason


@pytest.mark.usefixtures("_words")
def test_what_can_t_be_resampled_says_so(score: Score) -> None:
    truth = references()
    run = score(good(truth), metrics=["fixed"])
    assert all(each.ci is None for each in run.scores)
    found = one(compare([score(constant(truth), metrics=["fixed"]), run]), "words")
    assert found.difference is not None and found.ci is found.p is found.smallest is None
    assert found.reason and "resampling" in found.reason
