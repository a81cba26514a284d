"""Precision, recall and F1 from 0/1 matrices, under any weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rrgbench.labels import snake
from rrgbench.stats import Array, divide


def counts(truth: Array, called: Array, weights: Array) -> tuple[Array, Array, Array]:
    """True positives, false positives and false negatives of each label, each of shape (resamples, labels).

    ``truth`` and ``called`` have shape (rows, labels) and hold 1, 0, or NaN for what is left out.
    """
    known = ~np.isnan(truth) & ~np.isnan(called)
    t = np.where(known, truth, 0.0)
    c = np.where(known, called, 0.0)
    return weights @ (t * c), weights @ ((1 - t) * c * known), weights @ (t * (1 - c) * known)


def averages(prefix: str, suffix: str, truth: Array, called: Array, weights: Array) -> dict[str, Array]:
    """``<prefix>_{micro,macro}_{precision,recall,f1}_<suffix>`` of the matrices of ``counts``.

    As scikit-learn's: micro pools the counts, macro is the plain mean over the labels, and 0/0 is 0. Higher is better.
    Where a label is 0/0 in a resample and not in the data it is left out of that resample's mean: it is the drawing
    that lacks its positives, and a 0 there would widen the interval of a perfect system.
    """
    resampled, whole = counts(truth, called, weights), counts(truth, called, np.ones((1, len(truth))))
    out: dict[str, Array] = {}
    for name in ("micro", "macro"):
        (tp, fp, fn), (tp1, fp1, fn1) = (
            [x.sum(axis=1, keepdims=True) if name == "micro" else x for x in of] for of in (resampled, whole)
        )
        for key, top, bottom, ever in (
            ("precision", tp, tp + fp, tp1 + fp1),
            ("recall", tp, tp + fn, tp1 + fn1),
            ("f1", 2 * tp, 2 * tp + fp + fn, 2 * tp1 + fp1 + fn1),
        ):
            value = np.where(ever == 0, 0.0, divide(top, bottom))
            out[f"{prefix}_{name}_{key}_{suffix}"] = mean_of_defined(value)
    return out


def mean_of_defined(values: Array) -> Array:
    """The mean over the labels (columns) for which a resample (row) is defined; NaN where it is for none."""
    known = ~np.isnan(values)
    return divide(np.where(known, values, 0.0).sum(axis=1), known.sum(axis=1))


def f1(tp: Array, fp: Array, fn: Array) -> Array:
    """2 TP / (2 TP + FP + FN); NaN where that is 0/0."""
    return divide(2 * tp, 2 * tp + fp + fn)


def average_names(prefix: str, suffixes: Sequence[str]) -> list[str]:
    """The names that ``averages`` gives."""
    return [
        f"{prefix}_{average}_{value}_{suffix}"
        for suffix in suffixes
        for average in ("micro", "macro")
        for value in ("precision", "recall", "f1")
    ]


def columns(prefix: str, labels: Sequence[str]) -> list[str]:
    """The names of a metric's columns, one a label: ``<prefix>_pleural_effusion``."""
    return [f"{prefix}_{snake(label)}" for label in labels]
