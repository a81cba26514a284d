"""Statistics: patient-clustered bootstrap, weighted means, areas under curves.

Everything takes ``weights`` of shape (resamples, rows), how often each row was drawn, so that a thousand resamples
are a matrix product and not a thousand calls.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def patient_weights(patients: Sequence[str], resamples: int, seed: int) -> Array:
    """How often each row is drawn when patients are drawn with replacement, shape (resamples, rows).

    The unit is the patient, because two studies of one patient are not independent (Cameron, Gelbach & Miller 2008
    call it the pairs cluster bootstrap).
    """
    _, cluster = np.unique(np.asarray(patients, dtype=object).astype(str), return_inverse=True)
    n = int(cluster.max()) + 1 if len(cluster) else 0
    rng = np.random.default_rng(seed)
    drawn = np.empty((resamples, n))
    for resample in range(resamples):
        drawn[resample] = np.bincount(rng.integers(n, size=n), minlength=n)
    return drawn[:, cluster]


def percentile_interval(values: Array, level: float = 0.95) -> tuple[float, float] | None:
    """The percentile interval of resampled values; None where fewer than half of the resamples gave a value."""
    defined = values[np.isfinite(values)]
    if len(defined) == 0 or len(defined) < len(values) / 2:
        return None
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def unit_weights(weights: Array | None, rows: int) -> Array:
    """``weights``, or one resample in which each row stands once."""
    return np.ones((1, rows)) if weights is None else weights


def mean(values: npt.ArrayLike, weights: Array) -> Array:
    """Weighted mean of the values that are not NaN, shape (resamples,); NaN where nothing was drawn."""
    x = np.asarray(values, dtype=float)
    known = ~np.isnan(x)
    drawn = weights[:, known]
    return divide(drawn @ x[known], drawn.sum(axis=1))


def divide(numerator: npt.ArrayLike, denominator: npt.ArrayLike, empty: float = np.nan) -> Array:
    """Elementwise division; ``empty`` where the denominator is 0."""
    top, bottom = np.broadcast_arrays(np.asarray(numerator, float), np.asarray(denominator, float))
    out: Array = np.full(top.shape, empty)
    np.divide(top, bottom, out=out, where=bottom != 0)
    return out


def _by_score(truth: npt.ArrayLike, score: npt.ArrayLike, weights: Array | None) -> tuple[Array, Array]:
    """Weights of the positives and of the negatives at each distinct score, rising, shape (resamples, scores)."""
    y = np.asarray(truth, dtype=bool)
    s = np.asarray(score, dtype=float)
    w = unit_weights(weights, len(s))
    order = np.argsort(s, kind="stable")
    first = np.flatnonzero(np.r_[True, np.diff(s[order]) > 0]) if len(s) else np.array([], dtype=int)
    if not len(first):
        return np.zeros((len(w), 0)), np.zeros((len(w), 0))
    sorted_weights, sorted_truth = w[:, order], y[order]
    positive = np.add.reduceat(sorted_weights * sorted_truth, first, axis=1)
    negative = np.add.reduceat(sorted_weights * ~sorted_truth, first, axis=1)
    return positive, negative


def auroc(truth: npt.ArrayLike, score: npt.ArrayLike, weights: Array | None = None) -> Array:
    """Area under the ROC curve, ties counted half (Mann-Whitney), shape (resamples,). Higher is better.

    NaN where a resample has one class only. ``truth`` is boolean, ``score`` rises with the belief in it.
    """
    positive, negative = _by_score(truth, score, weights)
    below = np.cumsum(negative, axis=1) - negative
    won = (positive * (below + negative / 2)).sum(axis=1)
    return divide(won, positive.sum(axis=1) * negative.sum(axis=1))


def average_precision(truth: npt.ArrayLike, score: npt.ArrayLike, weights: Array | None = None) -> Array:
    """Average precision, the step-wise sum of precision times the rise of recall, shape (resamples,).

    As scikit-learn's ``average_precision_score``: no interpolation. Higher is better. NaN without positives.
    """
    positive, negative = _by_score(truth, score, weights)
    hits = np.cumsum(positive[:, ::-1], axis=1)
    called = hits + np.cumsum(negative[:, ::-1], axis=1)
    precision = divide(hits, called, empty=0.0)
    return divide((precision * positive[:, ::-1]).sum(axis=1), positive.sum(axis=1))


def quantiles(values: Sequence[float]) -> dict[str, float] | None:
    """The median and the 95th percentile, as pages show costs; None of nothing."""
    if not values:
        return None
    return {"p50": float(np.quantile(values, 0.5)), "p95": float(np.quantile(values, 0.95))}
