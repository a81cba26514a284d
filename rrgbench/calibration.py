"""Probabilities made to mean what they say: Platt's and temperature scaling of logits, fitted on validation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

EPS = 1e-6  # a probability nearer to 0 or 1 than this is moved here before its logit is taken: at most 13.8
COLDEST, HOTTEST = 0.01, 100.0  # the temperatures between which one is sought


def logit(probability: npt.ArrayLike, eps: float = EPS) -> Array:
    """log(p / (1 - p)) of each probability, which is first moved into eps .. 1 - eps."""
    p = np.clip(np.asarray(probability, dtype=float), eps, 1 - eps)
    return np.asarray(np.log(p) - np.log1p(-p))


def apply(logits: npt.ArrayLike, slope: npt.ArrayLike = 1.0, intercept: npt.ArrayLike = 0.0) -> Array:
    """The probabilities 1 / (1 + exp(-(slope * logit + intercept))), elementwise, in the shape of the logits.

    Platt's scaling gives a slope and an intercept a label; a temperature T is the slope 1 / T without an intercept.
    """
    z = np.asarray(slope, dtype=float) * np.asarray(logits, dtype=float) + np.asarray(intercept, dtype=float)
    small = np.exp(-np.abs(z))  # never overflows
    return np.asarray(np.where(z >= 0, 1.0, small) / (1.0 + small))


def platt(truth: npt.ArrayLike, logits: npt.ArrayLike) -> tuple[float, float]:
    """The slope and intercept for ``apply`` that fit one label best, by maximum likelihood.

    Platt (Advances in Large Margin Classifiers, 1999), with his targets (N+ + 1) / (N+ + 2) for positives and
    1 / (N- + 2) for negatives, which keep the slope finite where a threshold separates the two. Newton's method with
    backtracking, as Lin, Lin & Weng (Machine Learning 2007). ``truth`` is 1 or 0, of shape (n,); a row in which
    ``truth`` or ``logits`` is not finite is left out. The slope is negative where the logits rank the wrong way round.
    (1, 0), which changes nothing, where the truth shows one class only: there is nothing to learn from.
    """
    y, x = np.asarray(truth, dtype=float), np.asarray(logits, dtype=float)
    known = np.isfinite(y) & np.isfinite(x)
    positive, x = y[known] > 0.5, x[known]
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if not n_positive or not n_negative:
        return 1.0, 0.0
    target = np.where(positive, (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2))
    middle, spread = float(x.mean()), float(x.std()) or 1.0
    design = np.stack([(x - middle) / spread, np.ones(len(x))])  # in units of its spread, steps are well conditioned
    start = np.array([0.0, np.log((n_positive + 1) / (n_negative + 1))])
    slope, intercept = _newton(design, target, start)
    return slope / spread, intercept - slope * middle / spread


def temperature(truth: npt.ArrayLike, logits: npt.ArrayLike) -> float:
    """The T by which logits are divided to minimise the negative log-likelihood of all labels together.

    Guo et al. (ICML 2017), section 4.2, with a sigmoid a label in place of their softmax. ``truth`` holds 1, 0, or NaN
    for what is left out (soft targets work, too); both have shape (n, labels). In 1 / T the likelihood has one minimum,
    which is found by bisection between 0.01 and 100 (``COLDEST``, ``HOTTEST``): an end is given where the minimum lies
    beyond it (logits that are all on the right side want 0, logits worse than chance infinity). 1 where nothing is
    known.
    """
    y, z = np.asarray(truth, dtype=float), np.asarray(logits, dtype=float)
    known = np.isfinite(y) & np.isfinite(z)
    y, z = y[known], z[known]
    if not np.any(z):
        return 1.0
    cold, hot = np.log(COLDEST), np.log(HOTTEST)
    for _ in range(50):  # 9.2 / 2^50: to the last digit or two
        middle = (cold + hot) / 2
        rising = float(z @ (apply(z, np.exp(-middle)) - y))  # the derivative by 1 / T
        cold, hot = (middle, hot) if rising > 0 else (cold, middle)
    return float(np.exp((cold + hot) / 2))


def _newton(design: Array, target: Array, start: Array) -> tuple[float, float]:
    """The two coefficients with the least cross-entropy of ``target``; ``design`` has shape (2, n)."""

    def loss(at: Array) -> float:
        z = at @ design
        return float((np.logaddexp(0.0, z) - target * z).sum())

    at, value = start, loss(start)
    for _ in range(100):
        p = apply(at @ design)
        gradient = design @ (p - target)
        if np.abs(gradient).max() < 1e-10 * len(target):
            break
        hessian = (design * (p * (1 - p))) @ design.T + 1e-12 * np.eye(2)  # Lin et al.'s ridge
        step = np.linalg.solve(hessian, -gradient)
        size = 1.0
        while (after := loss(at + size * step)) > value + 1e-4 * size * float(gradient @ step):
            size /= 2
            if size < 1e-10:  # rounding is all that is left
                return float(at[0]), float(at[1])
        at, value = at + size * step, after
    return float(at[0]), float(at[1])
