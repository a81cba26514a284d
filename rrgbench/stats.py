"""Statistics: resampling of patients, intervals, paired tests, many tests at once, weighted means, areas under curves.

Everything takes ``weights`` of shape (resamples, rows), how often each row counts, so that a thousand resamples are a
matrix product and not a thousand calls. docs/statistics.md says which method is used where, and why.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Interval = tuple[float, float]

MOST_GROUPS = 400  # of patients left out together; the error that this adds to BCa's skewness is below 0.002
LEAST_DEGREES = 4.0  # of freedom; below, the estimate of them is not worth more than that there are few
CHUNK = 1 << 21  # weights made at a time: 16 MB, about what a processor's cache holds
SAME = 1e-9  # values nearer than this, as a share of their size, differ by rounding only

_NORMAL = NormalDist()


# --- weights: who counts how often ------------------------------------------------------------------------------------


def _clusters(patients: Sequence[str]) -> tuple[npt.NDArray[np.intp], int]:
    """The number of each row's patient, 0 to n - 1, and n."""
    _, cluster = np.unique(np.asarray(patients, dtype=object).astype(str), return_inverse=True)
    return cluster, int(cluster.max()) + 1 if len(cluster) else 0


def patient_weights(patients: Sequence[str], resamples: int, seed: int) -> Array:
    """How often each row is drawn when patients are drawn with replacement, shape (resamples, rows).

    The unit is the patient, because two studies of one patient are not independent (Cameron, Gelbach & Miller 2008
    call it the pairs cluster bootstrap).
    """
    cluster, n = _clusters(patients)
    rng = np.random.default_rng(seed)
    drawn = np.empty((resamples, n))
    for resample in range(resamples):
        drawn[resample] = np.bincount(rng.integers(n, size=n), minlength=n)
    return drawn[:, cluster]


def left_out_weights(patients: Sequence[str]) -> Array:
    """1 for each row but those of the patient left out, shape (patients, rows): the jackknife over patients.

    Of more than ``MOST_GROUPS`` patients as many groups are left out, chosen at random and always in the same way.
    """
    cluster, n = _clusters(patients)
    groups = min(n, MOST_GROUPS)
    of_patient = np.random.default_rng(0).permutation(np.arange(n) % groups) if groups else np.arange(0)
    left_out: Array = (np.arange(groups)[:, None] != of_patient[cluster][None]).astype(float)
    return left_out


def swap_weights(patients: Sequence[str], swaps: int, seed: int) -> Iterator[Array]:
    """The weights of one of two paired systems when patients change sides at random, of shape (some, 2 x rows).

    For the rows of system A followed by the same rows of system B. A patient's rows change sides together. ``1 -
    weights`` is the other system. They come in pieces that fit into memory, ``swaps`` of them in all.
    """
    cluster, n = _clusters(patients)
    rng = np.random.default_rng(seed)
    most = max(1, CHUNK // max(1, 2 * len(cluster)))
    for start in range(0, swaps, most):
        number = min(most, swaps - start)
        bits = np.frombuffer(rng.bytes(number * (-(-n // 8))), dtype=np.uint8).reshape(number, -1)
        swapped = np.unpackbits(bits, axis=1)[:, cluster]
        yield np.concatenate([1 - swapped, swapped], axis=1, dtype=float)


def unit_weights(weights: Array | None, rows: int) -> Array:
    """``weights``, or one resample in which each row stands once."""
    return np.ones((1, rows)) if weights is None else weights


# --- intervals --------------------------------------------------------------------------------------------------------


def percentile_interval(values: Array, level: float = 0.95) -> Interval | None:
    """The percentile interval of resampled values; None where fewer than half of the resamples gave a value."""
    return _between(values, (1 - level) / 2, (1 + level) / 2)


def bca_interval(value: float, values: Array, left_out: Array, level: float = 0.95) -> Interval | None:
    """The bias-corrected and accelerated interval of a statistic (Efron 1987), widened for small samples.

    ``value`` is the statistic of the data, ``values`` those of the resamples, ``left_out`` those with one patient (or
    group) left out each. The widening: in place of the normal quantile stands Student's, times sqrt(n / (n - 1)), as
    in Hesterberg (The American Statistician 2015, section 2.3.3: "expanded"). Its degrees of freedom are those that
    the left-out values themselves show (Satterthwaite: 2 E^2 / Var of the estimated variance), for a few patients
    may carry all of the uncertainty: the five who have the label, or one with thirty studies.

    None where fewer than half of the resamples gave a value, and where all resamples lie on one side of the value: such
    a statistic (a count of different words) is another one on a resample, and resampling says nothing of it.
    """
    defined = values[np.isfinite(values)]
    known = left_out[np.isfinite(left_out)]
    if len(defined) < max(1, len(values) / 2) or len(known) < 2 or not math.isfinite(value):
        return None
    close = SAME * max(1e-3, abs(value))
    below = ((defined < value - close).sum() + (np.abs(defined - value) <= close).sum() / 2) / len(defined)
    if not 0 < below < 1:
        return None
    bias = _NORMAL.inv_cdf(below)
    influence = known.mean() - known
    influence[np.abs(influence) <= close / len(known)] = 0.0
    squares = float((influence**2).sum())
    acceleration = float((influence**3).sum()) / (6 * squares**1.5) if squares else 0.0
    reach = -_widened((1 - level) / 2, influence)
    ends = []
    for z in (bias - reach, bias + reach):
        slowed = 1 - acceleration * z
        ends.append(_NORMAL.cdf(bias + z / slowed) if slowed > 0 else float(z > 0))
    return _between(values, *ends)


def _between(values: Array, low: float, high: float) -> Interval | None:
    """Two quantiles of the values that are defined; None where fewer than half are."""
    defined = values[np.isfinite(values)]
    if len(defined) == 0 or len(defined) < len(values) / 2:
        return None
    ends = np.quantile(defined, [low, high])
    return float(ends[0]), float(ends[1])


def _widened(tail: float, influence: Array) -> float:
    """The normal quantile in whose place ``tail``'s stands in a small sample, negative."""
    n = len(influence)
    squares = influence**2
    spread = float((squares**2).sum() - squares.sum() ** 2 / n)
    shown = 2 * float(squares.sum()) ** 2 / spread if spread > 0 else math.inf
    degrees = max(LEAST_DEGREES, min(n - 1.0, shown))
    return math.sqrt(n / (n - 1)) * student_quantile(tail, degrees)


def student_quantile(p: float, degrees: float) -> float:
    """The quantile of Student's t, from the normal's (Abramowitz & Stegun 26.7.5); for 4 degrees of freedom and more.

    Within 0.3 % of the true one for p from 0.005 to 0.995.
    """
    z = _NORMAL.inv_cdf(p)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / degrees**power for power, term in enumerate(terms, 1))


def smallest_difference(values: Array, level: float = 0.95, power: float = 0.8) -> float | None:
    """The smallest true difference that a sample like this one would show, from the resampled differences.

    (z of (1 + level) / 2 + z of power) times their standard deviation: with it a test at 1 - ``level``, two-sided,
    finds the difference in ``power`` of all such samples. None where fewer than half of the resamples gave a value.
    """
    defined = values[np.isfinite(values)]
    if len(defined) < 2 or len(defined) < len(values) / 2:
        return None
    return (_NORMAL.inv_cdf((1 + level) / 2) + _NORMAL.inv_cdf(power)) * float(defined.std(ddof=1))


# --- tests ------------------------------------------------------------------------------------------------------------


def randomisation_p(observed: float, swapped: Array) -> float | None:
    """The two-sided p of a difference, from the differences after random swaps: (hits + 1) / (swaps + 1).

    A hit is a difference at least as large as the observed one; the observed one counts as a swap, too, so that p is
    never 0 and the test holds its level (Phipson & Smyth 2010). A swap without a value counts as a hit. None without
    an observed difference.
    """
    if not math.isfinite(observed):
        return None
    short = np.abs(swapped) < abs(observed) - SAME * max(1e-3, abs(observed))  # NaN is never short
    return float((np.count_nonzero(~short) + 1) / (len(swapped) + 1))


def holm(p: Sequence[float]) -> list[float]:
    """p-values adjusted for being many, in their order (Holm 1979): the chance of one false finding among them all."""
    values = np.asarray(p, float)
    order = np.argsort(values, kind="stable")
    factors = len(values) - np.arange(len(values))
    return _in_place(np.maximum.accumulate(values[order] * factors), order)


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """p-values adjusted for being many, in their order (Benjamini & Hochberg 1995): the share of false findings."""
    values = np.asarray(p, float)
    order = np.argsort(values, kind="stable")[::-1]
    factors = len(values) / (len(values) - np.arange(len(values)))
    return _in_place(np.minimum.accumulate(values[order] * factors), order)


def _in_place(values: Array, order: npt.NDArray[np.intp]) -> list[float]:
    out = np.empty(len(values))
    out[order] = np.minimum(values, 1.0)
    return [float(value) for value in out]


# --- weighted scores --------------------------------------------------------------------------------------------------


def mean(values: npt.ArrayLike, weights: Array) -> Array:
    """Weighted mean of the values that are not NaN, shape (resamples,); NaN where nothing was drawn."""
    x = np.asarray(values, dtype=float)
    known = ~np.isnan(x)
    total = weights @ np.stack([np.where(known, x, 0.0), known], axis=1)
    return divide(total[:, 0], total[:, 1])


def divide(numerator: npt.ArrayLike, denominator: npt.ArrayLike, empty: float = np.nan) -> Array:
    """Elementwise division; ``empty`` where the denominator is 0."""
    top, bottom = np.broadcast_arrays(np.asarray(numerator, float), np.asarray(denominator, float))
    out: Array = np.full(top.shape, empty)
    np.divide(top, bottom, out=out, where=bottom != 0)
    return out


def areas(truth: npt.ArrayLike, score: npt.ArrayLike, weights: Array | None = None) -> tuple[Array, Array]:
    """AUROC and average precision, sorted once for both and for all resamples, each of shape (resamples,).

    AUROC counts ties half (Mann-Whitney), and is NaN where a resample has one class only. Average precision is the
    step-wise sum of precision times the rise of recall, as scikit-learn's ``average_precision_score``, without
    interpolation, and NaN without positives. ``truth`` is boolean, ``score`` rises with the belief in it. Higher is
    better.
    """
    y = np.asarray(truth, dtype=bool)
    s = np.asarray(score, dtype=float)
    w = unit_weights(weights, len(s))
    order = np.argsort(s, kind="stable")
    positives, negatives = order[y[order]], order[~y[order]]
    if not len(positives):
        return np.full(len(w), np.nan), np.full(len(w), np.nan)
    # Only the scores of positives matter: at each of them, how many negatives score less, and how many the same.
    scores, first = np.unique(s[positives], return_index=True)
    at_score = np.add.reduceat(w[:, positives], first, axis=1)
    counted = np.zeros((len(w), len(negatives) + 1))
    np.cumsum(w[:, negatives], axis=1, out=counted[:, 1:])
    below = counted[:, np.searchsorted(s[negatives], scores, "left")]
    tied = counted[:, np.searchsorted(s[negatives], scores, "right")] - below
    all_positives, all_negatives = at_score.sum(axis=1), counted[:, -1]
    auroc = divide((at_score * (below + tied / 2)).sum(axis=1), all_positives * all_negatives)
    hits = np.cumsum(at_score[:, ::-1], axis=1)[:, ::-1]
    precision = divide(hits, hits + all_negatives[:, None] - below, empty=0.0)
    return auroc, divide((precision * at_score).sum(axis=1), all_positives)


def auroc(truth: npt.ArrayLike, score: npt.ArrayLike, weights: Array | None = None) -> Array:
    """Area under the ROC curve: the first of ``areas``."""
    return areas(truth, score, weights)[0]


def average_precision(truth: npt.ArrayLike, score: npt.ArrayLike, weights: Array | None = None) -> Array:
    """Average precision: the second of ``areas``."""
    return areas(truth, score, weights)[1]


def quantiles(values: Sequence[float]) -> dict[str, float] | None:
    """The median and the 95th percentile, as pages show costs; None of nothing."""
    if not values:
        return None
    return {"p50": float(np.quantile(values, 0.5)), "p95": float(np.quantile(values, 0.95))}
