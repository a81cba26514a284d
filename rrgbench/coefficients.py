"""Coefficients of agreement: Kendall's tau-b and Krippendorff's alpha, for all resamples at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rrgbench import stats

BLOCK = 512  # rows compared with all others at a time


def kendall_tau_b(x: npt.ArrayLike, y: npt.ArrayLike, weights: stats.Array | None = None) -> stats.Array:
    """Kendall's tau-b of each resample, shape (resamples,); NaN where one of the two is constant.

    (C - D) / sqrt(pairs not tied in x * pairs not tied in y), where C and D are the pairs in the same and in the
    opposite order (Kendall, Biometrika 1945). ``weights``, whole numbers, say how often each row was drawn; a row and
    its copy are tied.
    """
    values = np.asarray(x, float), np.asarray(y, float)
    return tau_and_gamma(*values, stats.unit_weights(weights, len(values[0])))[0]


def tau_and_gamma(x: stats.Array, y: stats.Array, weights: stats.Array) -> tuple[stats.Array, stats.Array]:
    """``kendall_tau_b``, and Goodman and Kruskal's gamma, (C - D) / (C + D); NaN where C and D are 0."""
    of_x, of_y = (np.unique(values, return_inverse=True)[1] for values in (x, y))
    levels = int(of_y.max(initial=0)) + 1
    cells, of_cell = np.unique(of_x * levels + of_y, return_inverse=True)  # rows alike in both are counted together
    drawn = _summed(weights, of_cell)
    at_x, at_y = np.divmod(cells, levels)
    exact = drawn.astype(np.float32)  # whole numbers, and their sums of one row, stay exact below 2**24
    concordance = np.zeros(len(weights))
    for start in range(0, len(cells), BLOCK):
        block = slice(start, start + BLOCK)
        signs = np.sign(at_x[:, None] - at_x[block]) * np.sign(at_y[:, None] - at_y[block])
        concordance += ((exact @ signs.astype(np.float32)) * drawn[:, block]).sum(axis=1)
    every, same_x, same_y, same = (
        (_summed(weights, group) ** 2).sum(axis=1) for group in (np.zeros_like(of_x), of_x, of_y, of_cell)
    )
    apart = np.sqrt((every - same_x) * (every - same_y))
    return stats.divide(concordance, apart), stats.divide(concordance, every - same_x - same_y + same)


def _summed(weights: stats.Array, group: npt.NDArray[np.intp]) -> stats.Array:
    """The weights of each group's rows together, shape (resamples, groups)."""
    order = np.argsort(group, kind="stable")
    first = np.unique(group[order], return_index=True)[1]
    summed: stats.Array = np.add.reduceat(weights[:, order], first, axis=1)
    return summed


def krippendorff_alpha(values: npt.ArrayLike, weights: stats.Array | None = None) -> stats.Array:
    """Krippendorff's alpha for interval data of each resample, shape (resamples,); NaN where all values are the same.

    ``values`` has the shape (units, raters); NaN: not rated. A unit that fewer than two rated counts for nothing.
    1 - Do / De, with squared differences (Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011).
    """
    rated = np.asarray(values, float)
    raters = (~np.isnan(rated)).sum(axis=1)
    pairable = raters > 1
    rated, raters = rated[pairable], raters[pairable]
    drawn = stats.unit_weights(weights, len(pairable))[:, pairable]
    if not len(rated) or np.nanmax(rated) == np.nanmin(rated):
        return np.full(len(drawn), np.nan)
    low, high = np.nanmin(rated), np.nanmax(rated)
    scaled = (rated - (low + high) / 2) / (high - low)  # so that rounding is small beside any spread
    sums, squares = np.nansum(scaled, axis=1), np.nansum(scaled**2, axis=1)
    within = 2 * (raters * squares - sums**2) / (raters - 1)  # squared differences of a unit's pairs, either way round
    n, total, total_squares, observed = (drawn @ each for each in (raters, sums, squares, within))
    expected = 2 * (n * total_squares - total**2)
    expected[expected < 1e-12 * n**2] = 0.0
    return 1 - stats.divide(observed * (n - 1), expected)
