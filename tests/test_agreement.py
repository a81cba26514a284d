"""Agreement of two that score the same reports: the coefficients, what is counted, what is said, what is refused."""

from __future__ import annotations

import csv
import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rrgbench
from rrgbench import hookimpl, hookspecs, plugins, stats, tables
from rrgbench.agreement import Agreed, agreement
from rrgbench.coefficients import kendall_tau_b, krippendorff_alpha
from rrgbench.errors import UsageError
from rrgbench.runs import RunResult
from rrgbench.types import Case, Judged
from tests import test_judging
from tests.conftest import Done

NAN = math.nan

# --- the coefficients -------------------------------------------------------------------------------------------------


def test_tau_is_that_of_its_published_example() -> None:
    """The example of scipy.stats.kendalltau's documentation."""
    assert kendall_tau_b([12, 2, 1, 12, 2], [1, 4, 7, 1, 0])[0] == pytest.approx(-0.4714045207910317, abs=1e-15)


values = st.one_of(st.integers(-2, 2).map(float), st.floats(-5, 5).map(lambda x: round(x, 3)))
pairs = st.lists(st.tuples(values, values), min_size=2, max_size=30)


@settings(deadline=None)
@given(pairs)
def test_tau_is_scipy_s(of: list[tuple[float, float]]) -> None:
    kendalltau = pytest.importorskip("scipy.stats").kendalltau
    x, y = np.array(of).T
    assert kendall_tau_b(x, y)[0] == pytest.approx(kendalltau(x, y).statistic, abs=1e-12, nan_ok=True)


@settings(max_examples=50, deadline=None)
@given(pairs, st.integers(0, 2**32 - 1))
def test_a_weight_is_how_often_a_row_stands_there(of: list[tuple[float, float]], seed: int) -> None:
    x, y = np.array(of).T
    weights = stats.patient_weights([str(at // 2) for at in range(len(x))], 3, seed)
    tau, alpha = kendall_tau_b(x, y, weights), krippendorff_alpha(np.stack([x, y], 1), weights)
    for at, row in enumerate(weights):
        drawn = np.repeat(np.arange(len(x)), row.astype(int))
        assert tau[at] == pytest.approx(kendall_tau_b(x[drawn], y[drawn])[0], abs=1e-12, nan_ok=True)
        again = krippendorff_alpha(np.stack([x[drawn], y[drawn]], 1))[0]
        assert alpha[at] == pytest.approx(again, abs=1e-9, nan_ok=True)


def test_tau_of_more_rows_than_are_compared_at_a_time() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=1300)
    y = x + rng.normal(size=1300)
    signs = np.sign(np.subtract.outer(x, x)) * np.sign(np.subtract.outer(y, y))
    assert kendall_tau_b(x, y)[0] == pytest.approx(signs.sum() / (1300 * 1299), abs=1e-12)


def test_alpha_is_krippendorff_s() -> None:
    """Krippendorff, Computing Krippendorff's Alpha-Reliability (2011): .849 for the interval data of its section E.

    And .095 for the two observers of section A: of 0 and 1 all metrics are the same.
    """
    four = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
    assert round(float(krippendorff_alpha(np.array(four).T)[0]), 3) == 0.849
    two = [[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]]
    assert round(float(krippendorff_alpha(np.array(two).T)[0]), 3) == 0.095


def test_alpha_is_its_definition() -> None:
    """1 minus the mean squared difference of a unit's two values over that of any two values."""
    rng = np.random.default_rng(0)
    rated = rng.normal(size=(40, 2)) + rng.normal(size=(40, 1))
    every = list(itertools.permutations(rated.ravel(), 2))
    expected = np.mean([(one - other) ** 2 for one, other in every])
    assert krippendorff_alpha(rated)[0] == pytest.approx(1 - ((rated[:, 0] - rated[:, 1]) ** 2).mean() / expected)
    assert krippendorff_alpha(1e6 + rated / 100)[0] == pytest.approx(krippendorff_alpha(rated)[0], abs=1e-6)


def test_what_has_no_order_or_no_spread_is_undefined() -> None:
    assert math.isnan(kendall_tau_b([1, 1, 1], [1, 2, 3])[0])
    assert math.isnan(krippendorff_alpha([[1, 1], [1, 1]])[0])
    assert math.isnan(krippendorff_alpha([[1, NAN], [NAN, 2]])[0])
    assert krippendorff_alpha([[1, 2], [1, 2], [1, 2]])[0] < 0
    drawn_once = krippendorff_alpha([[0.3, 0.3], [0.7, 0.9], [0.5, 0.4]], np.array([[3.0, 0, 0], [7, 0, 0]]))
    assert np.isnan(drawn_once).all()  # a spread that is nothing but rounding is none


# --- two who say what a file holds ------------------------------------------------------------------------------------


class Told:
    """``told``: what a file says of each report; one that it lacks is a failure. ``told_ratio``: over all words."""

    version = "1"
    needs = ("report",)
    higher_is_better: Mapping[str, bool] = {"told": True, "told_ratio": False}

    def __init__(self, path: Path) -> None:
        self.signature = f"file:{path}"
        frame = tables.by_id(tables.read_table(path), str(path), "study_id")
        self._values = {study_id: float(value) for study_id, value in frame["value"].items()}

    def rows(self, cases: Sequence[Case]) -> pd.DataFrame:
        ids = [case.study.study_id for case in cases]
        told = [self._values.get(study_id, NAN) for study_id in ids]
        words = [NAN if math.isnan(v) else len((c.candidate or "").split()) for v, c in zip(told, cases, strict=True)]
        return pd.DataFrame({"told": told, "words": words}, index=ids)

    def reduce(self, rows: pd.DataFrame, weights: np.ndarray | None = None) -> Mapping[str, Any]:
        w = stats.unit_weights(weights, len(rows))
        told, words = stats.mean(rows["told"], w), stats.mean(rows["words"], w)
        out = {"told": told, "told_ratio": stats.divide(told, words)}
        return out if weights is not None else {name: value[0] for name, value in out.items()}


class OfAll(Told):
    resamplable = False


class InParts(Told):
    """Answers in two parts, of which the second failed where the file tells a number below 0."""

    def rows(self, cases: Sequence[Case]) -> pd.DataFrame:
        rows = super().rows(cases)
        return rows.assign(told=rows["told"].abs(), second=rows["told"].where(rows["told"] >= 0))

    def judged(self, rows: pd.DataFrame) -> Mapping[str, Judged]:
        failed = int(rows["second"].isna().sum())
        return dict.fromkeys(self.higher_is_better, Judged(len(rows) - failed, failed, NAN, NAN))


class Plugin:
    name = value = "told"
    dist = None

    def load(self) -> object:
        return self

    @hookimpl
    def rrgbench_register_metrics(self, register: hookspecs.Register) -> None:
        register("told", "tests.test_agreement:Told")
        register("of_all", "tests.test_agreement:OfAll")
        register("in_parts", "tests.test_agreement:InParts")


Judge = Callable[..., RunResult]
Call = Callable[..., Done]


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Judge:
    """A run whose reports two (or more) files tell the value of, NaN: nothing; report i has i + 1 words."""
    there = plugins.load([Plugin()])  # type: ignore[list-item]
    assert there.plugins[-1].problem is None
    monkeypatch.setattr(plugins, "catalogue", lambda: there)

    def call(
        *told: Sequence[float],
        patients: Sequence[str] | None = None,
        out: str = "runs",
        said: str = "clear",
        metric: str = "told",
        **options: Any,
    ) -> RunResult:
        ids = [f"s{at}" for at in range(len(told[0]))]
        specs = []
        for name, of in zip("abc", told, strict=False):
            file = tmp_path / out / f"{name}.csv"
            file.parent.mkdir(exist_ok=True)
            frame = pd.DataFrame({"study_id": ids, "value": of, "patient_id": patients or ids})
            frame[["study_id", "value"]].dropna().to_csv(file, index=False)
            with file.open("a") as lines:
                lines.write("of-no-study,0\n")
            specs.append(f"{metric}:path={file}")
        references = frame[["study_id", "patient_id"]].assign(report="The lungs are clear.")
        reports = {study_id: " ".join([said] * (at + 1)) for at, study_id in enumerate(ids)}
        given = {"metrics": specs, "resamples": 0, "out": tmp_path / out, "terms": "open", **options}
        return rrgbench.score(reports, references, **given)

    return call


def told(run: RunResult, metrics: Sequence[str] | None = None, **options: Any) -> Agreed:
    """How far the two of a run agree."""
    (pair,) = agreement(run.folder or "", metrics=metrics, **{"resamples": 50, **options}).pairs
    (agreed,) = pair.scores
    return agreed


def test_what_is_said_of_two(judged: Judge) -> None:
    run = judged([1, 2, 3, 4, 5, 6], [1, 3, 2, 4, 5, 9])
    (pair,) = agreement(run.folder or "").pairs
    assert (pair.protocol, pair.a, pair.b) == ("full-text", "told:path=a.csv", "told:path=b.csv")
    (of,) = pair.scores
    assert (of.metric, of.higher_is_better, of.n, of.only_a, of.only_b, of.n_patients) == ("told", True, 6, 0, 0, 6)
    assert (of.mean_a, of.mean_b, of.difference) == (3.5, 4.0, 0.5)
    assert (of.a_higher, of.b_higher, of.same) == pytest.approx((1 / 6, 2 / 6, 3 / 6))
    assert of.offset == pytest.approx(0.5**2 / (11 / 6))
    assert of.tau == pytest.approx(13 / 15) and of.same_order == pytest.approx(14 / 15)  # of 15 pairs one is turned
    assert of.alpha == pytest.approx(
        krippendorff_alpha(list(zip([1, 2, 3, 4, 5, 6], [1, 3, 2, 4, 5, 9], strict=True)))[0]
    )
    assert of.tau_ci and of.tau_ci[0] < (of.tau or 0) <= of.tau_ci[1] <= 1
    assert of.alpha_ci and of.alpha_ci[0] < (of.alpha or 0) < of.alpha_ci[1]
    assert of.reason is None


def test_where_they_part_the_furthest_first(judged: Judge) -> None:
    run = judged([1, 2, 3, 4, 5, 6], [1, 3, 2, 4, 8, 1])
    parted = told(run).parted
    assert [(each.study_id, each.image_id, each.a, each.b) for each in parted] == [
        ("s5", None, 6, 1),
        ("s4", None, 5, 8),
        ("s1", None, 2, 3),
        ("s2", None, 3, 2),
    ]  # those that both say the same of are not among them
    assert [each.study_id for each in told(run, top=1).parted] == ["s5"]
    assert told(run, top=0).parted == ()


def test_a_failure_is_counted_and_never_filled(judged: Judge) -> None:
    whole = told(judged([1, 2, 4, 3], [1, 3, 4, 2], out="whole"))
    holes = told(judged([1, 2, 4, 3, 100, NAN, NAN], [1, 3, 4, 2, NAN, 0, NAN], out="holes"))
    assert (holes.n, holes.only_a, holes.only_b, holes.n_patients) == (4, 1, 1, 4)
    assert (holes.tau, holes.alpha, holes.mean_a, holes.mean_b) == (whole.tau, whole.alpha, whole.mean_a, whole.mean_b)
    assert {each.study_id for each in holes.parted} == {"s1", "s3"}


def test_what_was_judged_in_part_is_a_failure(judged: Judge) -> None:
    of = told(judged([1, 2, -4, 3], [1, 3, 4, -2], metric="in_parts"))
    assert (of.n, of.only_a, of.only_b, of.mean_a, of.mean_b) == (2, 1, 1, 1.5, 2)


def test_one_who_says_more_throughout(judged: Judge) -> None:
    of = told(judged([1, 2, 3, 4, 5], [3, 4, 5, 6, 7]))
    assert (of.tau, of.same_order, of.offset, of.b_higher) == (1, 1, 1, 1)
    assert of.alpha is not None and of.alpha < 0.6  # the order is the same, the values are not
    assert of.pattern == (
        "B gives 2.000 more on average (more on 100% of the reports, less on 0%); that offset is 100% of the mean"
        " squared difference. Of two reports that both tell apart, 100% stand in the same order."
    )
    assert told(judged([3, 4, 5, 6, 7], [1, 2, 3, 4, 5], out="other")).pattern.startswith("A gives 2.000 more")


def test_two_who_rank_otherwise(judged: Judge) -> None:
    of = told(judged(list(range(12)), list(range(11, -1, -1))))
    assert (of.difference, of.offset, of.tau, of.same_order) == (0, 0, -1, 0)
    assert "Neither gives more throughout: B - A is +0.000 [" in of.pattern
    assert of.pattern.endswith("Of two reports that both tell apart, 0% stand in the same order.")
    rng = np.random.default_rng(1)
    of = told(judged(*rng.normal(size=(2, 60)), out="chance"), resamples=300)
    assert of.tau_ci and of.tau_ci[0] < 0 < of.tau_ci[1]
    assert "that may be chance" in of.pattern


def test_two_who_say_the_same(judged: Judge) -> None:
    of = told(judged([1, 2, 2, 4], [1, 2, 2, 4]))
    assert (of.same, of.tau, of.alpha, of.difference, of.offset, of.parted) == (1, 1, 1, 0, None, ())
    assert of.pattern == "Both say the same of every report."


def test_what_is_the_same_but_for_rounding_is_the_same(judged: Judge) -> None:
    of = told(judged([0.3 + 1e-12, 1.0, 2.0], [0.3, 1.0, 2.0]))
    assert (of.same, of.parted) == (1, ())


@pytest.mark.parametrize(
    ("a", "b", "tau", "alpha", "why"),
    [
        ([1, 1, 1], [1, 2, 3], False, True, "no tau: A gives every report the same value"),
        ([1, 1, 1], [2, 2, 2], False, True, "no tau: A and B give every report the same value"),
        ([1, 1, 1], [1, 1, 1], False, False, "no alpha: all values are the same"),
        ([1, NAN, NAN], [2, 3, NAN], False, True, "one report has no order"),
        ([1, NAN, 3], [NAN, 2, NAN], False, False, "no report has this score from both"),
        ([1, 2, 3], [NAN, NAN, NAN], False, False, "no report has this score from both"),
    ],
)
def test_what_is_undefined_says_why(
    judged: Judge, a: list[float], b: list[float], tau: bool, alpha: bool, why: str
) -> None:
    of = told(judged(a, b))
    assert (of.tau is not None, of.alpha is not None) == (tau, alpha)
    assert of.tau_ci is None and of.reason and why in of.reason
    json.dumps(of.record(), allow_nan=False)


def test_intervals_are_of_drawing_patients(judged: Judge) -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=40).round(1)
    b = (a + rng.normal(size=40)).round(1)
    patients = [f"p{at // 4}" for at in range(40)]
    of = told(judged(a, b, patients=patients), resamples=200, seed=3)
    both = np.stack([a, b], axis=1)
    drawn, left_out = stats.patient_weights(patients, 200, 3), stats.left_out_weights(patients)
    tau = stats.bca_interval(of.tau or 0, kendall_tau_b(a, b, drawn), kendall_tau_b(a, b, left_out))
    alpha = stats.bca_interval(of.alpha or 0, krippendorff_alpha(both, drawn), krippendorff_alpha(both, left_out))
    difference = stats.bca_interval(of.difference or 0, stats.mean(b - a, drawn), stats.mean(b - a, left_out))
    assert of.n_patients == 10
    for found, expected in ((of.tau_ci, tau), (of.alpha_ci, alpha), (of.difference_ci, difference)):
        assert expected and found == pytest.approx(expected)
    assert told(judged(a, b, patients=["p"] * 40, out="one")).reason == "no interval: it takes two patients"
    assert told(judged(a, b, out="none"), resamples=0).tau_ci is None


def test_a_score_of_the_corpus_is_that_of_each_report_alone(judged: Judge) -> None:
    of = told(judged([1, 1, 3], [2, 8, 3]), ["told_ratio"])
    assert [(each.study_id, each.a, each.b) for each in of.parted] == [("s1", 0.5, 4.0), ("s0", 1.0, 2.0)]
    assert not of.higher_is_better


def test_how_many_reports_are_reduced_at_a_time_changes_nothing(judged: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    run = judged([1, 2, 3, 4, 5], [2, 1, 3, 5, 4])
    whole = told(run, ["told_ratio"])
    monkeypatch.setattr(stats, "CHUNK", 10)  # two reports
    assert told(run, ["told_ratio"]) == whole


def test_scores_that_rows_hold_are_looked_at_unless_others_are_asked_for(judged: Judge) -> None:
    folder = judged([1, 2, 3], [2, 3, 1]).folder or ""
    names = {
        asked: [score.metric for pair in agreement(folder, metrics=asked and [asked]).pairs for score in pair.scores]
        for asked in (None, "told_ratio", "all")
    }
    assert names == {None: ["told"], "told_ratio": ["told_ratio"], "all": ["told", "told_ratio"]}


def test_every_two_are_compared(judged: Judge) -> None:
    found = agreement(judged([1, 2, 3], [2, 3, 1], [1, 1, 2]).folder or "")
    assert [(pair.a[-5:], pair.b[-5:]) for pair in found.pairs] == [
        ("a.csv", "b.csv"),
        ("a.csv", "c.csv"),
        ("b.csv", "c.csv"),
    ]
    assert all("path: " in words for pair in found.pairs for words in pair.differ)


def test_files_of_one_name_are_told_apart_by_where_they_lie(judged: Judge, tmp_path: Path) -> None:
    for out, values in (("x", [1, 2, 3]), ("y", [1, 3, 2])):
        judged(values, out=out)
    specs = [f"told:path={tmp_path / out / 'a.csv'}" for out in "xy"]
    texts = {f"s{at}": "clear" for at in range(3)}
    run = rrgbench.score(texts, texts, metrics=specs, resamples=0, out=tmp_path / "runs", terms="open")
    (pair,) = agreement(run.folder or "").pairs
    assert [pair.a, pair.b] == specs


def test_the_record_is_json_and_names_studies_where_they_part_alone(judged: Judge) -> None:
    folder = judged([1, 2, 3], [2, 3, 1]).folder or ""
    record = json.loads(json.dumps(agreement(folder).record(), allow_nan=False))
    (score,) = record["pairs"][0]["scores"]
    assert [each.pop("study_id") for each in score["parted"]] == ["s2", "s0", "s1"]
    assert score["tau"] == pytest.approx(-1 / 3) and score["pattern"] and record["terms"] == "open"
    assert "s2" not in json.dumps(record) and "s2" not in json.dumps(agreement(folder, top=0).record())


@pytest.mark.usefixtures("judged")
def test_where_images_count_they_are_named(table: str, tmp_path: Path) -> None:
    for name, column in (("a", range(8)), ("b", range(1, 9))):
        pd.DataFrame({"study_id": [f"s{at}" for at in range(8)], "value": column}).to_csv(tmp_path / f"{name}.csv")
    specs = [f"told:path={tmp_path / name}.csv" for name in "ab"]
    options: dict[str, Any] = {"protocol": ["r2gen"], "resamples": 0, "out": tmp_path / "runs"}
    (run,) = rrgbench.run(dataset=table, system=["constant"], metric=specs, **options).runs
    of = told(run)
    assert (of.n, of.n_patients, of.parted[0].study_id) == (8, 6, "s0") and of.parted[0].image_id


# --- two folders ------------------------------------------------------------------------------------------------------


def test_two_folders_of_the_same_reports(judged: Judge) -> None:
    one, other = (judged(of, out=out) for of, out in (([1, 2, 3, 4], "x"), ([1, 2, 4, 3], "y")))
    (pair,) = agreement(one.folder or "", other.folder).pairs
    assert pair.scores[0].n == 4 and pair.scores[0].tau == pytest.approx(4 / 6)
    assert pair.a.startswith("told:path=a.csv of reports") and pair.b.startswith("told:path=a.csv of reports")


def test_a_metric_that_asks_nobody_is_not_compared_with_itself(judged: Judge, tmp_path: Path) -> None:
    one = judged([1, 2, 3, 4], out="x")
    (file,) = (tmp_path / "x").glob("a.csv")
    references = pd.DataFrame({"study_id": [f"s{at}" for at in range(4)], "report": "The lungs are clear."})
    references["patient_id"] = references["study_id"]
    reports = {f"s{at}": " ".join(["clear"] * (at + 1)) for at in range(4)}
    options: dict[str, Any] = {"resamples": 0, "out": tmp_path / "y", "terms": "open"}
    again = rrgbench.score(reports, references, metrics=[f"told:path={file}"], **options)
    with pytest.raises(UsageError, match="no two metrics give the same score"):
        agreement(one.folder or "", again.folder)


def test_folders_of_other_reports_are_refused(judged: Judge) -> None:
    one = judged([1, 2, 3], out="x")
    with pytest.raises(UsageError, match=r"hold other reports.*on the same reports only.*rrgbench compare"):
        agreement(one.folder or "", judged([1, 2, 3], out="y", said="normal").folder)
    with pytest.raises(UsageError, match="not on the same studies"):
        agreement(one.folder or "", judged([1, 2, 3, 4], out="z").folder)
    with pytest.raises(UsageError, match="given twice"):
        agreement(one.folder or "", one.folder)


# --- what is refused, and what is left out ----------------------------------------------------------------------------


def test_what_has_no_pair_says_what_to_do(judged: Judge) -> None:
    with pytest.raises(UsageError, match=r"no two metrics give the same score.*repeat=2"):
        agreement(judged([1, 2, 3]).folder or "")
    with pytest.raises(UsageError, match="no two metrics"):  # of a corpus as a whole no report has a value
        agreement(judged([1, 2, 3], [1, 2, 4], metric="of_all", out="whole").folder or "")


def test_a_score_that_is_not_there_is_said_with_the_nearest(judged: Judge) -> None:
    folder = judged([1, 2, 3], [1, 2, 4]).folder or ""
    with pytest.raises(UsageError, match=r"No two metrics here give 'told_ratios'\. Did you mean 'told_ratio'"):
        agreement(folder, metrics=["told_ratios"])
    with pytest.raises(UsageError, match=r"'x'\. There are: told, told_ratio\."):
        agreement(folder, metrics=["x"])


def test_a_metric_that_can_t_be_built_any_more_is_left_out_with_the_reason(judged: Judge, tmp_path: Path) -> None:
    run = judged([1, 2, 3], [1, 2, 4], [1, 3, 2])
    (tmp_path / "runs" / "b.csv").unlink()
    found = agreement(run.folder or "")
    assert [(pair.a[-5:], pair.b[-5:]) for pair in found.pairs] == [("a.csv", "c.csv")]
    (note,) = found.notes
    assert "b.csv" in note and "is left out" in note


def test_rows_that_scores_json_does_not_know_are_said(judged: Judge) -> None:
    run = judged([1, 2, 3], [1, 2, 4])
    file = (run.folder or Path()) / "scores.json"
    summary = json.loads(file.read_text())
    for each in summary["scores"]:
        each["value"] = 2.5 if each["value"] == 2 else each["value"]  # what a.csv tells, on average
    file.write_text(json.dumps(summary))
    (note,) = agreement(run.folder or "").notes
    assert "other values of told than the rows of told:path=a.csv" in note


# --- judges that are asked --------------------------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Path]:
    """The folder of four reports that test_judging's judges marked."""
    there = plugins.load([test_judging.Plugin()])  # type: ignore[list-item]
    monkeypatch.setattr(test_judging.Scripted, "asked", [])
    monkeypatch.setattr(plugins, "catalogue", lambda: there)

    def call(*metrics: Any, reports: Any = test_judging.REPORTS, out: str = "runs") -> Path:
        options: dict[str, Any] = {"protocol": "findings", "resamples": 0, "terms": "open", "out": tmp_path / out}
        result = rrgbench.score(reports, test_judging.REFERENCES, metrics=metrics, **options)
        assert result.folder
        return result.folder

    return call


def test_a_judge_that_fails_at_a_report_is_not_compared_there(asked: Callable[..., Path]) -> None:
    other = {"marks": {"judge": {"scripted": {"bad": {"0": "mark: 3", "2": "Good."}}}}}
    found = agreement(asked("marks:judge=scripted", other))
    (pair,) = found.pairs
    (of,) = pair.scores
    assert (of.n, of.only_a + of.only_b) == (3, 1)
    assert [each.study_id for each in of.parted] == ["s0"] and {of.parted[0].a, of.parted[0].b} == {0, 3}
    assert any("that judges: (scripted" in words for words in pair.differ) and found.notes == ()


def test_a_judge_asked_twice(asked: Callable[..., Path]) -> None:
    found = agreement(asked("marks:judge=scripted", "marks:judge=scripted,repeat=2"))
    (pair,) = found.pairs
    assert (pair.a, pair.b) == ("marks:judge=scripted", "marks:judge=scripted,repeat=2")
    assert (pair.scores[0].n, pair.scores[0].same) == (4, 1)
    assert len(test_judging.Scripted.asked) == 8 and found.notes == ()
    again = agreement(asked("marks:judge=scripted", "marks:judge=scripted,repeat=2"))  # from the cache, each its own
    assert len(test_judging.Scripted.asked) == 8 and again.notes == ()


def test_a_judge_in_two_folders_may_have_been_answered_from_the_cache(
    asked: Callable[..., Path], tmp_path: Path
) -> None:
    for name in "ab":
        lines = [("study_id", "report"), *test_judging.REPORTS.items()]
        with (tmp_path / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(lines)
    first, again = (asked("marks:judge=scripted", reports=tmp_path / f"{name}.csv") for name in "ab")
    (note,) = agreement(first, again).notes
    assert "4 of 4 calls were answered from the cache" in note and "repeat=2" in note
    elsewhere = asked("marks:judge=scripted", reports=tmp_path / "a.csv", out="elsewhere")
    assert agreement(first, elsewhere).notes == ()  # another cache: it was asked again


# --- judges whose replies were recorded -------------------------------------------------------------------------------


def reply(significant: int, insignificant: int = 0) -> str:
    counts = [
        ", ".join(f"({letter}, {n if letter == 'A' else 0})" for letter in "ABCDEF")
        for n in (significant, insignificant)
    ]
    return (
        f"Number of clinically significant errors by type: [{counts[0]}]\n"
        f"Number of clinically insignificant errors by type: [{counts[1]}]"
    )


@pytest.fixture
def replies(tmp_path: Path) -> Callable[[str, Sequence[str]], str]:
    """A metric that takes its judge's replies from a file."""
    pytest.importorskip("rrgbench_judges", reason="needs rrgbench-judges")

    def call(judge: str, said: Sequence[str]) -> str:
        file = tmp_path / f"{judge}.jsonl"
        lines = [{"study_id": f"s{at}", "reply": text, "model": judge} for at, text in enumerate(said)]
        file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        return f"chexprompt:replies={file}"

    return call


def scored(metrics: Sequence[str], out: Path) -> Path:
    texts = {f"s{at}": "The lungs are clear." for at in range(5)}
    result = rrgbench.score(texts, texts, metrics=metrics, out=out, protocol="full-text", resamples=0, terms="open")
    assert result.folder
    return result.folder


def test_two_judges(replies: Any, tmp_path: Path) -> None:
    a = replies("a", [reply(0), reply(1), reply(2), reply(3), "I can't say."])
    b = replies("b", [reply(0, 1), reply(1, 1), "", reply(5, 1), reply(9)])
    (pair,) = agreement(scored([a, b], tmp_path / "runs")).pairs
    errors = {each.metric: each for each in pair.scores}["chexprompt_errors"]
    assert (errors.n, errors.only_a, errors.only_b) == (3, 1, 1)
    assert (errors.mean_a, errors.mean_b, errors.tau) == pytest.approx((4 / 3, 3, 1))
    assert [(each.study_id, each.a, each.b) for each in errors.parted[:1]] == [("s3", 3, 6)]
    assert any("the language model that judges: a in A, b in B" in words for words in pair.differ)


def test_of_many_scores_the_first_is_put_in_words(replies: Any, tmp_path: Path, rrgbench: Call) -> None:
    specs = [replies(name, [reply(n, at) for at in range(5)]) for name, n in (("a", 0), ("b", 1))]
    folder = scored(specs, tmp_path / "runs")
    out = rrgbench("agreement", folder, "--resamples", 0).out.splitlines()
    assert sum(line.startswith("chexprompt_") for line in out if ": " in line and "no tau" not in line) == 1
    asked = ["--metric", "chexprompt_errors", "--metric", "chexprompt_significant_errors"]
    out = rrgbench("agreement", folder, "--resamples", 0, *asked).out.splitlines()
    assert [line.partition(": ")[0] for line in out if ": B - A is" in line] == asked[1::2]


def test_one_judge_in_two_folders_is_compared_with_itself(replies: Any, tmp_path: Path) -> None:
    spec = replies("a", [reply(at) for at in range(5)])
    one = scored([spec], tmp_path / "x")
    replies("a", [reply(at) for at in (0, 1, 2, 4, 3)])
    other = scored([spec], tmp_path / "y")
    (pair,) = agreement(one, other).pairs
    assert pair.scores[0].n == 5 and pair.scores[0].tau == pytest.approx(0.8)


# --- the command line -------------------------------------------------------------------------------------------------


@pytest.fixture
def run(rrgbench: Call, tmp_path: Path) -> Path:
    """A run of eight reports that two files of RadCliQ's features judge; the second lacks one report."""
    ids = [f"s{at}" for at in range(8)]
    features = ["radgraph_combined", "bertscore", "semb", "bleu2"]
    files: dict[str, list[Any]] = {
        "reports": [["study_id", "report"], *[[each, "The lungs are clear."] for each in ids]],
        "a": [["study_id", *features], *[[each, at / 10, 0.5, 0.5, 0.5] for at, each in enumerate(ids)]],
        "b": [["study_id", *features], *[[each, at / 10, 0.2, 0.5, 0.5] for at, each in enumerate(ids[:7])]],
    }
    for name, lines in files.items():
        with (tmp_path / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(lines)
    texts = ["--reports", "reports.csv", "--references", "reports.csv", "--terms", "open", "--resamples", 20]
    rrgbench("score", *texts, "--metric", "radcliq_v1:features=a.csv", "--out", "runs")
    (folder,) = (scores.parent for scores in (tmp_path / "runs").rglob("scores.json"))
    rrgbench("score", folder, "--metric", "radcliq_v1:features=b.csv")
    return folder


def test_a_table_the_pattern_and_where_they_part(rrgbench: Call, run: Path) -> None:
    done = rrgbench("agreement", run, "--resamples", 50)
    assert done.code == 0 and not done.err
    assert "A: radcliq_v1:features=a.csv\nB: radcliq_v1:features=b.csv" in done.out
    (line,) = (line for line in done.out.splitlines() if line.startswith("radcliq_v1 (lower is better)"))
    assert line.split("  ")[1].split() == ["7"] and "1.000" in line
    assert "radcliq_v1: B gives 0." in done.out and "part most (A, B): s" in done.out
    assert "(50 resamples, BCa)" in done.out
    assert "clear" not in done.out  # texts stay in the run folder


def test_json_is_all_that_stands_on_stdout(rrgbench: Call, run: Path) -> None:
    done = rrgbench("agreement", run, "--metric", "radcliq_v1", "--resamples", 50, "--top", 2, "--json")
    assert done.code == 0
    (pair,) = done.json()["pairs"]
    (score,) = pair["scores"]
    assert (score["n"], score["only_a"], score["only_b"], score["tau"]) == (7, 1, 0, 1)
    assert score["offset"] == pytest.approx(1) and len(score["parted"]) == 2


def test_a_wrong_request(rrgbench: Call, run: Path) -> None:
    wrong: list[tuple[list[object], str]] = [
        (["nowhere"], "nowhere is not a run folder"),
        ([run, run], "given twice"),
        ([run, "--metric", "radcliq"], "Did you mean 'radcliq_v1'"),
    ]
    for arguments, said in wrong:
        done = rrgbench("agreement", *arguments)
        assert done.code == 2 and not done.out
        assert said in done.err and "Traceback" not in done.err
