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


def averages(prefix: str, suffix: str, tp: Array, fp: Array, fn: Array) -> dict[str, Array]:
    """``<prefix>_{micro,macro}_{precision,recall,f1}_<suffix>`` from counts of shape (resamples, labels).

    As scikit-learn's: micro pools the counts, macro is the plain mean over the labels, and 0/0 is 0. Higher is better.
    """
    pooled = [x.sum(axis=1, keepdims=True) for x in (tp, fp, fn)]
    out: dict[str, Array] = {}
    for name, (a, b, c) in {"micro": pooled, "macro": [tp, fp, fn]}.items():
        values = {"precision": divide(a, a + b, 0.0), "recall": divide(a, a + c, 0.0), "f1": f1(a, b, c, 0.0)}
        out |= {f"{prefix}_{name}_{key}_{suffix}": value.mean(axis=1) for key, value in values.items()}
    return out


def f1(tp: Array, fp: Array, fn: Array, empty: float = np.nan) -> Array:
    """2 TP / (2 TP + FP + FN)."""
    return divide(2 * tp, 2 * tp + fp + fn, empty)


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
