"""Thresholds of an encoder's probabilities, fitted where the truth is known and never on the studies they judge."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from rrgbench.cache import digest
from rrgbench.errors import UsageError
from rrgbench.labels import translate
from rrgbench.types import Status, Study, Vocabulary

FOLDS = 5
Method = Literal["f1", "youden", "recall"]


def chosen(method: Method, truth: npt.ArrayLike, probability: npt.ArrayLike, recall: float = 0.9) -> float:
    """The threshold by ``best_f1``, ``youden`` or ``at_recall`` (the only one that ``recall`` is for).

    Each gives a t at which calling ``probability >= t`` present is best. It lies midway between two observed
    probabilities (below the lowest one, between it and 0), calls at least one study, and is the highest of equally good
    ones. Infinity (never called) where there is no positive to fit on.
    """
    if method == "youden":
        return youden(truth, probability)
    return best_f1(truth, probability) if method == "f1" else at_recall(truth, probability, recall)


def best_f1(truth: npt.ArrayLike, probability: npt.ArrayLike) -> float:
    """The threshold with the best F1 (``chosen`` has the conventions)."""
    y = np.asarray(truth, dtype=bool)
    if not y.any():
        return math.inf
    thresholds, hits, called = _sweep(y, probability)
    return float(thresholds[np.argmax(2 * hits / (called + y.sum()))])  # 2 TP / (called + positive)


def youden(truth: npt.ArrayLike, probability: npt.ArrayLike) -> float:
    """The threshold with the best J = sensitivity + specificity - 1 (Youden 1950; ``chosen`` has the conventions).

    Without a negative the specificity is no matter, and all are called.
    """
    y = np.asarray(truth, dtype=bool)
    if not y.any():
        return math.inf
    thresholds, hits, called = _sweep(y, probability)
    positives, negatives = int(y.sum()), int((~y).sum())
    times = hits * max(negatives, 1) - (called - hits) * positives  # J x positives x negatives: ties are exact
    return float(thresholds[np.argmax(times)])


def at_recall(truth: npt.ArrayLike, probability: npt.ArrayLike, recall: float) -> float:
    """The highest threshold whose recall is at least ``recall``, 0..1 (``chosen`` has the conventions)."""
    if not 0.0 <= recall <= 1.0:
        raise UsageError(f"A recall lies in 0..1, not at {recall}.")
    y = np.asarray(truth, dtype=bool)
    if not y.any():
        return math.inf
    thresholds, hits, _ = _sweep(y, probability)
    return float(thresholds[np.argmax(hits >= recall * y.sum() - 1e-9)])  # .9 of 10 is 9, whatever floats say


def checked(threshold: float, where: str) -> float:
    """The threshold, if it is one. Raises UsageError, which begins with ``where``."""
    if not 0.0 <= threshold <= 1.0:
        raise UsageError(f"{where}{threshold} is not a threshold: a number in 0..1.")
    return threshold


def _sweep(
    truth: npt.NDArray[np.bool_], probability: npt.ArrayLike
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """A threshold for each set of studies that one can call, the highest first; its true positives, and the called."""
    p = np.asarray(probability, dtype=float)
    order = np.argsort(-p, kind="stable")
    falling = p[order]
    last = np.flatnonzero(np.r_[falling[1:] < falling[:-1], True])  # equal probabilities are called together
    values = falling[last]
    below = np.r_[values[1:], 0.0]
    middle = (values + below) / 2
    return np.where(middle > below, middle, values), np.cumsum(truth[order], dtype=np.int64)[last], last + 1


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
        """``truth`` and ``probability`` hold a column a label, a value a study; what is NaN in either is left out."""
        self._folds = {patient: fold(patient) for patient in patients}
        of_study = np.array([self._folds[patient] for patient in patients])
        self._by_fold = {
            left_out: {label: _fit(truth[label], probability[label], of_study != left_out) for label in truth}
            for left_out in (*range(FOLDS), None)
        }

    @property
    def digest(self) -> str:
        """A digest of the thresholds, and of whom each judges."""
        return digest(sorted(self._folds.items()), list(self._by_fold.values()))

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
    known = used & ~np.isnan(y) & ~np.isnan(p)
    return best_f1(y[known] > 0.5, p[known])


class FittedThresholds:
    """What ``threshold=fit`` of an encoder is: the best F1 on labelled studies, cross-fitted, for each study.

    An uncertain truth is left out, one that is not mentioned is negative. A label whose truth the dataset doesn't know
    has no threshold.
    """

    def __init__(
        self,
        source: str,
        studies: Sequence[Study],
        vocabulary: Vocabulary,
        probabilities: Mapping[str, Mapping[str, float]],
    ) -> None:
        """``probabilities`` are by study_id and label, of the studies and labels that have some; ``source`` is whose.

        Raises UsageError where no study has both labels and probabilities.
        """
        known = [
            (study.patient_id, translate(study.labels, vocabulary), probabilities[study.study_id])
            for study in studies
            if study.labels is not None and study.study_id in probabilities
        ]
        if not known:
            raise UsageError(
                f"{source}: threshold=fit needs labelled studies to fit on, of patients that are not evaluated or"
                " whose folds can be left out, and there are none."
            )
        self._patients = {study.study_id: study.patient_id for study in studies}
        assessed = [label for label in vocabulary.labels if any(label in truth.by_label for _, truth, _ in known)]
        self._fitted = CrossFitted(
            [patient for patient, _, _ in known],
            {label: [_number(truth.status(label)) for _, truth, _ in known] for label in assessed},
            {label: [found.get(label, math.nan) for _, _, found in known] for label in assessed},
        )
        never = self._fitted.never()
        many = f"threshold=fit: too few positive studies of {', '.join(never)}: never called for some patients"
        self.warnings = [many] if never else []
        self.digest = self._fitted.digest

    def of(self, study_id: str) -> dict[str, float]:
        """The thresholds by label that judge this study."""
        return self._fitted.of(self._patients.get(study_id, ""))


def _number(status: Status) -> float:
    """Truth as a number: uncertain is left out, not mentioned is negative."""
    return math.nan if status is Status.UNCERTAIN else float(status is Status.PRESENT)
