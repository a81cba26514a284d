from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit

from rrgbench.calibration import COLDEST, EPS, HOTTEST, apply, logit, platt, temperature


def sample(seed: int, n: int, slope: float = 1.0, intercept: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logits = rng.normal(-1, 2, n)
    return rng.random(n) < expit(slope * logits + intercept), logits


def loss_of_platt(at: np.ndarray, truth: np.ndarray, logits: np.ndarray) -> float:
    positives, negatives = truth.sum(), (~truth).sum()
    target = np.where(truth, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    z = at[0] * logits + at[1]
    return float((np.logaddexp(0, z) - target * z).sum())


def test_platt_s_scaling_is_scikit_learn_s() -> None:
    """scikit-learn 1.9.1's _sigmoid_calibration gives 0.45158943, -0.04414285."""
    logits = [-4.0, -3.0, -2.5, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0]
    assert platt([0, 0, 0, 1, 0, 0, 1, 0, 1, 1], logits) == pytest.approx((0.4515894, -0.0441429), abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 60), st.sampled_from([1e-3, 1.0, 1e4]))
def test_no_other_slope_and_intercept_fit_better(seed: int, n: int, scale: float) -> None:
    truth, logits = sample(seed, n)
    if truth.all() or not truth.any():
        truth[0] = not truth[0]
    found = np.array(platt(truth, logits * scale)) * [scale, 1.0]
    best = minimize(loss_of_platt, [0.0, 0.0], (truth, logits), method="BFGS").fun
    assert loss_of_platt(found, truth, logits) <= best + 1e-7


def test_what_was_distorted_is_found_again() -> None:
    truth, logits = sample(0, 200_000, slope=0.5, intercept=-0.7)
    assert platt(truth, logits) == pytest.approx((0.5, -0.7), abs=0.02)


def test_classes_that_a_threshold_separates_get_platt_s_own_targets_and_no_more() -> None:
    truth, logits = np.repeat([False, True], 10), np.repeat([-3.0, 5.0], 10)
    slope, intercept = platt(truth, logits)
    assert apply([-3.0, 5.0], slope, intercept) == pytest.approx([1 / 12, 11 / 12])


def test_platt_turns_logits_that_rank_the_wrong_way_round() -> None:
    truth, logits = sample(1, 2000)
    slope, intercept = platt(truth, -logits)
    assert slope == pytest.approx(-platt(truth, logits)[0]) and intercept == pytest.approx(platt(truth, logits)[1])


def test_one_class_alone_and_one_logit_alone_teach_platt_no_slope() -> None:
    assert platt([0.0, 0.0], [1.0, 2.0]) == platt([1.0], [3.0]) == platt([], []) == (1.0, 0.0)
    slope, intercept = platt([0, 0, 0, 1], [2.0] * 4)
    assert apply(2.0, slope, intercept) == pytest.approx((3 / 5 + 2 / 3) / 4)  # the mean of the targets


def test_what_is_not_known_is_left_out() -> None:
    truth, logits = sample(2, 50)
    more = np.r_[truth.astype(float), np.nan, 1.0], np.r_[logits, 9.0, np.nan]
    assert platt(*more) == platt(truth, logits)
    assert temperature(*more) == temperature(truth, logits)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.05, 20))
def test_the_temperature_minimises_the_loss_of_all_labels_together(seed: int, true: float) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (40, 3)) * true
    truth = np.where(rng.random((40, 3)) < 0.1, np.nan, rng.random((40, 3)) < expit(logits / true))

    def loss(log_t: float) -> float:
        z = logits / np.exp(log_t)
        return float(np.nansum(np.logaddexp(0, z) - truth * z))

    bounds = np.log(COLDEST), np.log(HOTTEST)
    best = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-10}).fun
    assert loss(np.log(temperature(truth, logits))) <= best + 1e-9


def test_a_temperature_that_was_put_in_is_found_again() -> None:
    truth, logits = sample(3, 100_000)
    assert temperature(truth[:, None], 2.5 * logits[:, None]) == pytest.approx(2.5, rel=0.02)


def test_the_ends_of_the_temperature() -> None:
    assert temperature([[1.0, 0.0]], [[2.0, -1.0]]) == pytest.approx(COLDEST)
    assert temperature([[0.0, 1.0]], [[2.0, -1.0]]) == pytest.approx(HOTTEST)
    assert temperature([[np.nan]], [[2.0]]) == temperature([[1.0]], [[0.0]]) == 1.0


@given(st.floats(-1e308, 1e308))
def test_applying_is_the_sigmoid(z: float) -> None:
    assert float(apply(z)) == pytest.approx(float(expit(z)), rel=1e-12)
    assert float(apply(z, 0.5, 1.0)) == pytest.approx(float(expit(0.5 * z + 1.0)), rel=1e-12)


@given(st.floats(0, 1))
def test_the_logit_is_the_inverse_but_for_the_ends(p: float) -> None:
    assert apply(logit(p)) == pytest.approx(min(max(p, EPS), 1 - EPS), rel=1e-9)
