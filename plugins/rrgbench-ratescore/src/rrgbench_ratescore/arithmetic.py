"""From the entities of two texts and their vectors to the score (Zhao et al., EMNLP 2024; utils.py of RaTEScore)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rrgbench_ratescore.weights import TYPES, Matrix

Array = npt.NDArray[np.float64]

NOTHING_TO_MATCH = 0.5  # scorer.py: the score where a side has no entity


class Entity(NamedTuple):
    """A stretch of text and what it is, one of ``TYPES``."""

    text: str
    type: str


@dataclass(frozen=True)
class Side:
    """The entities of one text: their types, and their vectors of shape (entities, dimensions)."""

    types: Sequence[str]
    vectors: Array


def score(report: Side, reference: Side, matrix: Matrix) -> tuple[float, float, float]:
    """The score, and its two directions: how well the reference covers the report, and the report the reference.

    The harmonic mean of both; ``NOTHING_TO_MATCH`` where a side has no entity (the directions are NaN then). It lies in
    0..1 as long as no cosine is negative.
    """
    if not report.types or not reference.types:
        return NOTHING_TO_MATCH, float("nan"), float("nan")
    a, b = covered(report, reference, matrix), covered(reference, report, matrix)
    return (2 * a * b / (a + b) if a + b else 0.0), a, b


def covered(side: Side, by: Side, matrix: Matrix) -> float:
    """Mean over a side's entities of the cosine with their nearest entity of the other side.

    Weighted by the types of both, and lowered where the nearest one has the opposite polarity; 0 where no weight is.
    """
    cosines = unit(side.vectors) @ unit(by.vectors).T
    # The first of equally near ones. Rounded, because the last bit of a product depends on its place in the matrix.
    nearest = np.round(cosines, 12).argmax(axis=1)
    own, its = numbers(side.types), numbers(by.types)[nearest]
    weights = matrix.weight[own, its]
    total = weights.sum()
    matched = cosines[np.arange(len(own)), nearest] * weights * matrix.factor[own, its]
    return float(matched.sum() / total) if total else 0.0


def unit(vectors: Array) -> Array:
    """The vectors with length 1; a vector of zeros stays."""
    lengths: Array = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, 1e-12)


def numbers(types: Sequence[str]) -> npt.NDArray[np.int64]:
    """The place of each type in ``TYPES``."""
    return np.array([TYPES.index(each) for each in types], dtype=np.int64)
