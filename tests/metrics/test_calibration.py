from __future__ import annotations

import math
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from rrgbench import plugins, stats
from rrgbench.errors import UsageError
from rrgbench.labels import CHEXPERT, NIH
from rrgbench.metrics.calibration import Brier, Calibration, by_chance, reliability
from rrgbench.parts import build
from rrgbench.sentinels import examine_metric
from rrgbench.types import Case, Finding, Findings, Status, Study, Vocabulary

PRESENT, ABSENT, UNCERTAIN = Status.PRESENT, Status.ABSENT, Status.UNCERTAIN


def case(
    number: int,
    truth: dict[str, Status],
    found: dict[str, float | None],
    of: Vocabulary = CHEXPERT,
    by: Vocabulary = CHEXPERT,
) -> Case:
    labels = Findings(of, {label: Finding(label, status) for label, status in truth.items()})
    findings = Findings(by, {label: Finding(label, ABSENT, p) for label, p in found.items()})
    return Case(Study(f"s{number}", f"p{number}", labels=labels), findings, None, None, None)


def rows_of(truth: np.ndarray, probability: np.ndarray) -> pd.DataFrame:
    """Rows of one label or, of two-dimensional arrays, several."""
    y, p = (np.asarray(each, float).reshape(len(each), -1) for each in (truth, probability))
    named = {f"truth_x{at}": y[:, at] for at in range(y.shape[1])}
    return pd.DataFrame(named | {f"probability_x{at}": p[:, at] for at in range(p.shape[1])})


def scores(rows: pd.DataFrame, bins: int = 15) -> dict[str, float]:
    return {str(k): float(v) for m in (Calibration(bins), Brier()) for k, v in m.reduce(rows).items()}


def test_by_hand() -> None:
    """Bins of a half: of .1 and .5 (its upper end) one is positive; of .9, .8 both are."""
    got = scores(rows_of(np.array([0, 1, 1, 1]), np.array([0.1, 0.5, 0.9, 0.8])), bins=2)
    assert got["ece_x0"] == pytest.approx(0.5 * abs(0.3 - 0.5) + 0.5 * abs(0.85 - 1))
    assert got["brier_x0"] == pytest.approx((0.01 + 0.25 + 0.01 + 0.04) / 4)
    assert (got["ece_macro"], got["brier_macro"]) == (got["ece_x0"], got["brier_x0"])


def test_the_average_is_over_the_labels_that_are_defined() -> None:
    truth = np.array([[1, 0, np.nan], [1, 0, np.nan]])
    got = scores(rows_of(truth, np.array([[0.8, 0.4, 0.5], [0.8, 0.4, 0.5]])))
    assert (got["ece_macro"], got["brier_macro"]) == (pytest.approx(0.3), pytest.approx(0.1))
    assert math.isnan(got["ece_x2"]) and math.isnan(got["brier_x2"])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 60), st.integers(1, 20), st.sampled_from([1, 2, 9]))
def test_the_bins_and_the_brier_score_are_scikit_learn_s(seed: int, n: int, bins: int, digits: int) -> None:
    rng = np.random.default_rng(seed)
    truth, p = rng.random(n) < 0.4, np.round(rng.random(n), digits)
    got = scores(rows_of(truth, p), bins)
    curve = reliability(rows_of(truth, p), bins)
    observed, predicted = calibration_curve(truth, p, n_bins=bins) if 0 < truth.sum() < n else (None, None)
    if observed is not None:
        assert curve["observed"].to_numpy() == pytest.approx(observed)
        assert curve["predicted"].to_numpy() == pytest.approx(predicted)
        assert got["brier_x0"] == pytest.approx(brier_score_loss(truth, p))
    of_bins = curve["n"] / n * (curve["predicted"] - curve["observed"]).abs()
    assert got["ece_x0"] == pytest.approx(of_bins.sum())
    assert curve["n"].sum() == n


def test_probabilities_that_mean_what_they_say_have_no_error_and_turned_ones_much() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(100_000)
    truth = rng.random(len(p)) < p
    honest, turned, certain = (scores(rows_of(truth, q)) for q in (p, 1 - p, p > 0.5))
    assert honest["ece_macro"] < 0.01 < 0.45 < turned["ece_macro"]
    assert certain["ece_macro"] == pytest.approx(0.25, abs=0.01)
    assert honest["brier_macro"] == pytest.approx(1 / 6, abs=0.005)  # the mean of p (1 - p)


@pytest.mark.parametrize("metric", [Calibration(), Brier()], ids=["calibration", "brier"])
def test_weights_are_repeated_rows(metric: Calibration | Brier) -> None:
    rng = np.random.default_rng(1)
    rows = rows_of(np.where(rng.random((30, 3)) < 0.2, np.nan, rng.random((30, 3)) < 0.4), rng.random((30, 3)))
    times = rng.integers(0, 3, 30)
    weighted = metric.reduce(rows, times[None].astype(float))
    for name, value in metric.reduce(rows.iloc[np.repeat(np.arange(30), times)]).items():
        np.testing.assert_allclose(weighted[name][0], value)


def test_an_uncertain_truth_is_left_out_and_a_blank_is_absent() -> None:
    cases = [
        case(0, {"Edema": UNCERTAIN}, {"Edema": 0.9}),
        case(1, {"Edema": PRESENT}, {"Edema": 0.8}),
        case(2, {}, {"Edema": 0.1}),
    ]
    got = scores(Calibration().rows(cases))
    assert got["brier_edema"] == pytest.approx((0.04 + 0.01) / 2)
    assert math.isnan(got["ece_fracture"])  # nothing was said of it
    assert got["ece_macro"] == got["ece_edema"] == pytest.approx(0.15)


def test_findings_without_probabilities_have_no_calibration() -> None:
    got = scores(Brier().rows([case(0, {"Edema": PRESENT}, {"Edema": None})]))
    assert all(math.isnan(value) for value in got.values())


def test_the_labels_are_those_that_both_vocabularies_have() -> None:
    truth = {**dict.fromkeys(NIH.labels, ABSENT), "Nodule": PRESENT}
    metric = Brier()
    rows = metric.rows([case(0, truth, dict.fromkeys(CHEXPERT.labels, 0.75), of=NIH)])
    assert metric.reduce(rows)["brier_lung_lesion"] == pytest.approx(0.0625)
    assert "fracture" not in metric.describe(rows) and "pleural_effusion" in metric.describe(rows)


@pytest.mark.parametrize("metric", [Calibration(), Brier()], ids=["calibration", "brier"])
def test_lower_is_better_whatever_the_labels_are_called(metric: Calibration | Brier) -> None:
    own = Vocabulary("own", ("Sail sign",))
    got = metric.reduce(metric.rows([case(0, {"Sail sign": PRESENT}, {"Sail sign": 0.7}, own, own)]))
    assert {name: metric.higher_is_better[name] for name in got} == dict.fromkeys(got, False)


def test_the_sentinels() -> None:
    for name, figures in (("calibration", ("ece_macro", 0.1, 0.9)), ("brier", ("brier_macro", 0.01, 0.81))):
        said = examine_metric(build(plugins.catalogue(), "metric", name))
        assert said.startswith("{}: the reference itself {}, negation flipped {}".format(*figures))


@pytest.mark.parametrize("n", [4, 25])
@pytest.mark.parametrize("positive", [0, 1, 4])
def test_the_interval_of_a_bin_is_wilson_s(n: int, positive: int) -> None:
    (curve,) = reliability(rows_of(np.arange(n) < positive, np.full(n, 0.5))).itertuples()
    expected = binomtest(positive, n).proportion_ci(method="wilson")
    assert (curve.ci_low, curve.ci_high) == pytest.approx((expected.low, expected.high))
    assert (curve.label, curve.bin, curve.n, curve.predicted, curve.observed) == ("x0", 7, n, 0.5, positive / n)
    assert (curve.low, curve.high) == pytest.approx((7 / 15, 8 / 15))


def test_a_curve_of_nothing_has_no_bins() -> None:
    assert reliability(rows_of(np.array([np.nan]), np.array([0.4]))).empty


def test_what_an_honest_encoder_shows_by_chance() -> None:
    """Of 200 honest samples the mean error is what each is told to expect."""
    rng = np.random.default_rng(0)
    seen, expected = [], []
    for _ in range(200):
        p = rng.beta(1, 4, 150)
        rows = rows_of(rng.random(150) < p, p)
        seen.append(scores(rows)["ece_x0"])
        expected.append(by_chance(rows, draws=20)["x0"])
    assert np.mean(expected) == pytest.approx(np.mean(seen), rel=0.05) and np.mean(seen) > 0.05
    assert by_chance(rows) == by_chance(rows)
    certain = rows_of(np.array([1, 0]), np.array([1.0, 0.0]))
    assert by_chance(certain) == {"x0": 0.0}
    assert math.isnan(by_chance(rows_of(np.array([np.nan]), np.array([0.4])))["x0"])


@pytest.mark.parametrize(
    ("metric", "truth", "least", "most"), [(Calibration(), 0.0, 0, 0), (Brier(), 2 / 15, 17, 20)], ids=["ece", "brier"]
)
def test_why_the_calibration_error_has_no_interval(
    metric: Calibration | Brier, truth: float, least: int, most: int
) -> None:
    """An honest encoder's true error is 0, and no interval by resampling reaches down to it (docs/metrics.md)."""
    rng = np.random.default_rng(0)
    patients = [str(number) for number in range(300)]
    held = 0
    for seed in range(20):
        p = rng.beta(1, 4, 300)
        rows = rows_of(rng.random(300) < p, p)
        weights = stats.patient_weights(patients, 200, seed), stats.left_out_weights(patients)
        value, drawn, left_out = (np.asarray(next(iter(metric.reduce(rows, w).values()))) for w in (None, *weights))
        low, high = stats.bca_interval(float(value), drawn, left_out) or (0.0, 0.0)
        held += low - 0.005 <= truth <= high
    assert least <= held <= most
    assert getattr(metric, "resamplable", True) == (least > 0)


@pytest.mark.parametrize("bins", [0, -1])
def test_there_is_at_least_one_bin(bins: int) -> None:
    with pytest.raises(UsageError, match="at least 1 bin"):
        Calibration(bins)


def test_a_thousand_resamples_of_3_000_studies_and_14_labels_take_no_time() -> None:
    rng = np.random.default_rng(0)
    rows = rows_of(rng.random((3000, 14)) < 0.2, rng.random((3000, 14)))
    weights = stats.patient_weights([f"p{i // 3}" for i in range(3000)], 1000, 0)
    started = time.process_time()
    got = {**Calibration().reduce(rows, weights), **Brier().reduce(rows, weights)}
    assert time.process_time() - started < 3  # about a tenth of it
    assert all(value.shape == (1000,) and np.isfinite(value).all() for value in got.values())
