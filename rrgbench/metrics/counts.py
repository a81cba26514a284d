"""Precision, recall and F1 from 0/1 matrices, under any weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from rrgbench.labels import snake
from rrgbench.stats import Array, divide, mean

Average = Literal["micro", "macro", "weighted", "samples"]
MICRO_MACRO: tuple[Average, ...] = ("micro", "macro")
VALUES = ("precision", "recall", "f1")


def counts(truth: Array, called: Array, weights: Array) -> tuple[Array, Array, Array]:
    """True positives, false positives and false negatives of each label, each of shape (resamples, labels).

    ``truth`` and ``called`` have shape (rows, labels) and hold 1, 0, or NaN for what is left out.
    """
    return _counted(_outcomes(truth, called), weights)


def averages(
    prefix: str, suffix: str, truth: Array, called: Array, weights: Array, kinds: Sequence[Average] = MICRO_MACRO
) -> dict[str, Array]:
    """``<prefix>_<kind>_{precision,recall,f1}_<suffix>`` of the matrices of ``counts``, each of shape (resamples,).

    As scikit-learn's: micro pools the counts; macro is the plain mean over the labels, weighted the mean over them by
    how often each is true, samples the mean over the rows of each row's own; 0/0 is 0. Higher is better.
    Where a label is 0/0 in a resample that drew none of its positives, though the data have some, it is left out of
    that resample's mean: it is the drawing that lacks them, and a 0 there would widen a perfect system's interval.
    """
    outcomes = _outcomes(truth, called)
    drawn, whole = _counted(outcomes, weights), _counted(outcomes, np.ones((1, len(truth))))
    out: dict[str, Array] = {}
    for kind in kinds:
        if kind == "samples":
            values = _over_rows(outcomes, ~(np.isnan(truth) | np.isnan(called)).all(axis=1), weights)
        else:
            values = {value: _over_labels(kind, value, drawn, whole) for value in VALUES}
        out |= {f"{prefix}_{kind}_{value}_{suffix}": of_resamples for value, of_resamples in values.items()}
    empty = ~weights.any(axis=1)  # resamples that drew nothing have no averages
    return {name: np.where(empty, np.nan, of_resamples) for name, of_resamples in out.items()}


def _over_labels(
    kind: Average, value: str, drawn: tuple[Array, Array, Array], whole: tuple[Array, Array, Array]
) -> Array:
    """One average over the labels, from the counts of the resamples and of the whole data."""
    if kind == "micro":
        drawn, whole = _pooled(drawn), _pooled(whole)
    support, in_data = drawn[0] + drawn[2], whole[0] + whole[2]
    top, bottom = _fractions(*drawn)[value]
    lost = (bottom == 0) & (support == 0) & (in_data > 0)
    of_label = np.where(lost, np.nan, divide(top, bottom, empty=0.0))
    if kind != "weighted":
        return mean_of_defined(of_label)
    return mean_of_defined(of_label, support) if in_data.any() else np.zeros(len(of_label))


def _over_rows(outcomes: tuple[Array, Array, Array], known: npt.ArrayLike, weights: Array) -> dict[str, Array]:
    """Precision, recall and F1 of each row over its labels, and their means over the known rows drawn."""
    tp, fp, fn = (each.sum(axis=1) for each in outcomes)
    of_rows = [divide(*fraction, empty=0.0) for fraction in _fractions(tp, fp, fn).values()]
    *totals, drawn = (weights @ np.stack([*of_rows, np.asarray(known, float)], axis=1)).T
    return {value: divide(total, drawn) for value, total in zip(VALUES, totals, strict=True)}


def exact_match(truth: Array, called: Array, weights: Array) -> Array:
    """The share of the rows whose labels are all alike, as scikit-learn's ``accuracy_score``, shape (resamples,)."""
    left_out = (np.isnan(truth) | np.isnan(called)).any(axis=1)
    return mean(np.where(left_out, np.nan, (truth == called).all(axis=1)), weights)


def mean_of_defined(values: Array, weights: Array | None = None) -> Array:
    """The mean over the labels (columns) for which a resample (row) is defined; NaN where it is for none.

    ``weights`` has the shape of ``values``.
    """
    known = ~np.isnan(values)
    share = known if weights is None else weights * known
    return divide((share * np.where(known, values, 0.0)).sum(axis=1), share.sum(axis=1))


def f1(tp: Array, fp: Array, fn: Array) -> Array:
    """2 TP / (2 TP + FP + FN); NaN where that is 0/0."""
    return divide(2 * tp, 2 * tp + fp + fn)


def average_names(prefix: str, suffixes: Sequence[str], kinds: Sequence[Average] = MICRO_MACRO) -> list[str]:
    """The names that ``averages`` gives."""
    return [f"{prefix}_{kind}_{value}_{suffix}" for suffix in suffixes for kind in kinds for value in VALUES]


def columns(prefix: str, labels: Sequence[str]) -> list[str]:
    """The names of a metric's columns, one a label: ``<prefix>_pleural_effusion``."""
    return [f"{prefix}_{snake(label)}" for label in labels]


def _counted(outcomes: tuple[Array, Array, Array], weights: Array) -> tuple[Array, Array, Array]:
    """How often each outcome was drawn of each label, in one product."""
    tp, fp, fn = np.split(weights @ np.concatenate(outcomes, axis=1), 3, axis=1)
    return tp, fp, fn


def _outcomes(truth: Array, called: Array) -> tuple[Array, Array, Array]:
    """Whether each cell is a true positive, a false positive, a false negative: 1 or 0, and 0 for what is left out."""
    known = ~np.isnan(truth) & ~np.isnan(called)
    t = np.where(known, truth, 0.0)
    c = np.where(known, called, 0.0)
    return t * c, (1 - t) * c * known, t * (1 - c) * known


def _pooled(of_labels: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
    """The counts of all labels together, as of one."""
    tp, fp, fn = (each.sum(axis=1, keepdims=True) for each in of_labels)
    return tp, fp, fn


def _fractions(tp: Array, fp: Array, fn: Array) -> Mapping[str, tuple[Array, Array]]:
    """Numerator and denominator of precision, recall and F1."""
    return {"precision": (tp, tp + fp), "recall": (tp, tp + fn), "f1": (2 * tp, 2 * tp + fp + fn)}
