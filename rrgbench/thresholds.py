"""Thresholds of an encoder's probabilities, fitted where the truth is known and never on the studies they judge."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

FOLDS = 5


def best_f1(truth: npt.ArrayLike, probability: npt.ArrayLike) -> float:
    """The threshold t at which calling ``probability >= t`` present gives the best F1.

    It lies midway between two observed probabilities; of equal ones the highest is taken. Infinity (never called)
    where there is no positive to fit on.
    """
    y = np.asarray(truth, dtype=bool)
    p = np.asarray(probability, dtype=float)
    if not y.any():
        return math.inf
    order = np.argsort(-p, kind="stable")
    hits = np.cumsum(y[order])
    f1 = 2 * hits / (np.arange(1, len(p) + 1) + y.sum())  # 2 TP / (called + positive)
    last = np.r_[p[order][1:] < p[order][:-1], True]  # equal probabilities are called together
    best = int(np.argmax(np.where(last, f1, -1.0)))
    low = p[order][best + 1] if best + 1 < len(p) else 0.0
    return float((p[order][best] + low) / 2)


def fold(patient_id: str) -> int:
    """The fold of a patient in cross-fitting: a hash, so that it depends on nothing else."""
    return int(hashlib.sha256(patient_id.encode()).hexdigest()[:8], 16) % FOLDS


class CrossFitted:
    """Thresholds by label for any patient, never fitted on that patient.

    A patient who was in the fitting set gets the thresholds of the other folds; anyone else those of the whole set.
    """

    def __init__(
        self, patients: Sequence[str], truth: Mapping[str, Sequence[float]], probability: Mapping[str, Sequence[float]]
    ) -> None:
        """``truth`` and ``probability`` hold a column a label, a value a study; NaN in ``truth`` is left out."""
        self._folds = {patient: fold(patient) for patient in patients}
        of_study = np.array([self._folds[patient] for patient in patients])
        self._by_fold = {
            left_out: {label: _fit(truth[label], probability[label], of_study != left_out) for label in truth}
            for left_out in (*range(FOLDS), None)
        }

    def never(self) -> list[str]:
        """The labels that have no positive to fit on for some patients, for whom they are never called."""
        used = [self._by_fold[fold] for fold in {*self._folds.values(), None}]
        return [label for label in self._by_fold[None] if any(by_label[label] == math.inf for by_label in used)]

    def of(self, patient: str) -> dict[str, float]:
        """The thresholds that judge this patient's studies."""
        return self._by_fold[self._folds.get(patient)]


def _fit(truth: Sequence[float], probability: Sequence[float], used: npt.NDArray[np.bool_] | bool) -> float:
    y = np.asarray(truth, dtype=float)
    p = np.asarray(probability, dtype=float)
    chosen = used & ~np.isnan(y) & ~np.isnan(p)
    return best_f1(y[chosen] > 0.5, p[chosen])
