"""What `rrgbench saliency` found: cases, and the scores that they reduce to."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from rrgbench import stats
from rrgbench.labels import snake

MACRO = "macro"


@dataclass(frozen=True)
class Case:
    """One label of one study, as one encoder sees it.

    ``called`` is whether the encoder says present, ``true`` whether the truth does (None: it says nothing), ``boxed``
    whether the truth has boxes. Only then is it measured: ``hit`` is the pointing game's, ``iou`` the overlap with the
    boxes, ``share`` the part of the image that they cover.
    """

    encoder: str
    study_id: str
    patient_id: str
    label: str
    probability: float | None
    called: bool
    true: bool | None
    boxed: bool
    hit: bool | None = None
    iou: float | None = None
    share: float | None = None


@dataclass(frozen=True)
class SaliencyScore:
    """A score of one encoder; higher is better.

    ``label`` is "macro" for the mean over labels. ``chance`` is the mean share of the image that the boxes cover: the
    pointing game of a random point, and the overlap of a map that marks the whole image. ``n`` counts findings.
    """

    encoder: str
    metric: str
    label: str
    value: float
    ci: tuple[float, float] | None
    chance: float
    n: int
    n_patients: int


@dataclass(frozen=True)
class Saliency:
    """The result. ``failures`` gives, by encoder, what went wrong with which study; ``notes`` what else to know."""

    encoders: Mapping[str, str]  # the signature by the name that is shown
    dataset: str
    split: str | None
    method: str
    terms: str  # the strictest of the dataset's and the encoders'
    synthetic: bool
    n: int  # studies that were gone through
    cases: tuple[Case, ...]
    scores: tuple[SaliencyScore, ...]
    failures: Mapping[str, Mapping[str, str]]
    notes: tuple[str, ...]

    def frame(self) -> pd.DataFrame:
        """A row a score."""
        columns = ["encoder", "metric", "label", "value", "low", "high", "chance", "n", "n_patients"]
        rows = [{**asdict(s), "low": s.ci[0] if s.ci else None, "high": s.ci[1] if s.ci else None} for s in self.scores]
        return pd.DataFrame(rows, columns=columns)

    def record(self) -> dict[str, Any]:
        """What saliency.json says: aggregates, no study."""
        return {
            "encoders": dict(self.encoders),
            "dataset": self.dataset,
            "split": self.split,
            "method": self.method,
            "terms": self.terms,
            "synthetic": self.synthetic,
            "n": self.n,
            "scores": [asdict(score) for score in self.scores],
            "failures": {encoder: len(failed) for encoder, failed in self.failures.items()},
            "notes": list(self.notes),
        }


def scores(cases: Sequence[Case], labels: Sequence[str], resamples: int, seed: int) -> list[SaliencyScore]:
    """The scores of one encoder: of each label that was measured, in the order of ``labels``, and macro first.

    A score of a label is the mean over its findings. Intervals are of patients drawn with replacement among those
    with a finding that was measured (BCa, 95 %).
    """
    measured = [case for case in cases if case.boxed]
    found = [label for label in labels if any(case.label == label for case in measured)]
    if not found:
        return []
    patients = [case.patient_id for case in measured]
    of_label = {label: np.array([case.label == label for case in measured]) for label in found}
    several = len(set(patients)) > 1
    drawn = stats.patient_weights(patients, resamples, seed) if several and resamples else None
    left_out = stats.left_out_weights(patients)
    out = []
    for metric, values in (
        ("pointing_game", np.array([case.hit for case in measured], dtype=float)),
        ("iou", np.array([case.iou for case in measured], dtype=float)),
    ):
        share = np.array([case.share for case in measured], dtype=float)
        once = np.ones((1, len(measured)))
        value, chance = _means(values, of_label, once), _means(share, of_label, once)
        spread = _means(values, of_label, drawn) if drawn is not None else None
        jackknife = _means(values, of_label, left_out)
        for label in (MACRO, *found):
            mine = [label in (MACRO, case.label) for case in measured]
            point = float(value[label][0])
            says = spread is not None and len(set(values[mine])) > 1  # of what is all alike, resampling says nothing
            out.append(
                SaliencyScore(
                    measured[0].encoder,
                    f"{metric}_{snake(label)}",
                    label,
                    point,
                    stats.bca_interval(point, spread[label], jackknife[label]) if spread and says else None,
                    float(chance[label][0]),
                    sum(mine),
                    len({patient for patient, own in zip(patients, mine, strict=True) if own}),
                )
            )
    return out


def _means(
    values: stats.Array, of_label: Mapping[str, np.ndarray[Any, np.dtype[np.bool_]]], weights: stats.Array
) -> dict[str, stats.Array]:
    """The weighted mean of each label's values, and of these means the mean; each of shape (resamples,)."""
    means = {label: stats.mean(np.where(mine, values, np.nan), weights) for label, mine in of_label.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a resample without any finding: NaN
        return {MACRO: np.nanmean(np.stack(list(means.values())), axis=0), **means}
