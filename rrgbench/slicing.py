"""`rrgbench slices`: the scores of finished runs on parts of their studies, and how far the worst is from the best.

Everything comes from the rows that a run keeps: no report is scored again. Patients are drawn among all of the run's
studies, as for its other intervals, so that a slice's size varies as it would in another sample.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from rrgbench import cutting, pairing, stats, stored
from rrgbench.errors import FAULTS
from rrgbench.governance import strictest
from rrgbench.replanning import config_of, replanned
from rrgbench.stored import Scored
from rrgbench.types import Study

LEAST = 10  # patients that a slice must have for a score: an interval of fewer says next to nothing
RESAMPLES = 1000  # where the run itself was scored without intervals
LEVEL = 0.95

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Slice:
    """A score on some of the studies. ``n`` counts what was scored; without a value, ``reason`` says why."""

    name: str
    n: int
    n_patients: int
    value: float | None
    ci: tuple[float, float] | None
    reason: str | None = None


@dataclass(frozen=True)
class Gap:
    """How far the worst slice is from the best; ``ci`` holds whichever they had been (``gap_interval``)."""

    worst: str
    best: str
    value: float
    ci: tuple[float, float] | None


@dataclass(frozen=True)
class Sliced:
    """One score of one run, cut in one way.

    ``source`` says by what, where that isn't plain; ``outside`` is how many that were scored are in none of the slices.
    """

    run: str
    folder: Path
    dataset: str
    dataset_digest: str
    synthetic: bool
    metric: str
    protocol: str
    signature: str
    higher_is_better: bool
    by: str
    source: str
    overall: Slice
    slices: tuple[Slice, ...]
    outside: int
    gap: Gap | None


@dataclass(frozen=True)
class SlicedRuns:
    """All of them. ``notes`` say what can't be cut in which way, and what was left out, with the reason."""

    cuts: tuple[Sliced, ...]
    notes: tuple[str, ...]
    terms: str  # the strictest of the runs'

    def frame(self) -> pd.DataFrame:
        """A row a slice."""
        return pd.DataFrame(
            [
                {
                    "run": cut.run,
                    "metric": cut.metric,
                    "protocol": cut.protocol,
                    "by": cut.by,
                    "slice": each.name,
                    "n": each.n,
                    "n_patients": each.n_patients,
                    "value": each.value,
                    "low": each.ci[0] if each.ci else None,
                    "high": each.ci[1] if each.ci else None,
                    "reason": each.reason,
                }
                for cut in self.cuts
                for each in cut.slices
            ]
        )


def slices(
    folders: Sequence[Path], by: Sequence[str] | None = None, metrics: Sequence[str] | None = None
) -> SlicedRuns:
    """Cut the studies of finished runs, and score each slice. What `rrgbench slices` does.

    ``by`` are of ``cutting.WAYS`` or columns of the dataset's demographics (default: all ways); ``metrics`` are names
    of scores, such as "bleu_4", or "all" (default: the run's headlines). Raises UsageError for a folder without a
    finished run, a dataset that can't be read or has changed, and a name that there is not.
    """
    runs = pairing.named([stored.read(Path(folder)) for folder in folders])
    cuts: list[Sliced] = []
    notes: dict[str, None] = {}
    terms = []
    for named in runs:
        figures = pairing.figures(named, metrics, notes)
        folder, manifest = named.run.folder, named.run.manifest
        plan = replanned(folder, manifest, config_of(folder, manifest))
        terms.append(plan.terms)
        patients = [study.patient_id for study in plan.studies]
        drawn = stats.patient_weights(patients, plan.config.resamples or RESAMPLES, plan.config.seed)
        sample = _Sample({study.study_id: (at, study) for at, study in enumerate(plan.studies)}, drawn)
        ways = [cutting.cut(way, plan.studies) for way in dict.fromkeys(by or cutting.WAYS)]
        for way in ways:
            if way.lacking:
                notes[f"{named.run.summary['dataset']}: not cut by {way.by}: {way.lacking}"] = None
        of_rows: dict[int, list[pairing.Figure]] = {}
        for figure in figures.values():
            of_rows.setdefault(id(figure.scored), []).append(figure)
        for together in of_rows.values():
            cuts += _of_metric(named, together, [way for way in ways if not way.lacking], sample)
    return SlicedRuns(tuple(cuts), tuple(notes), strictest(terms))


class _Sample(NamedTuple):
    """The studies with their places, and how often each is drawn, of shape (resamples, studies)."""

    studies: Mapping[str, tuple[int, Study]]
    drawn: stats.Array


def _of_metric(
    named: pairing.Named, figures: Sequence[pairing.Figure], ways: Sequence[cutting.Cut], sample: _Sample
) -> list[Sliced]:
    """Scores that come from the same rows, cut in every way."""
    run, scored, scores = named.run, figures[0].scored, [figure.score for figure in figures]
    rows = scored.rows
    units = [(str(study_id), str(image_id)) for study_id, image_id in rows.index]
    weights = sample.drawn[:, [sample.studies[study_id][0] for study_id, _ in units]]
    patients = np.array([sample.studies[study_id][1].patient_id for study_id, _ in units])
    names = [score.metric for score in scores]
    everything = np.ones(len(rows), dtype=bool)
    whole = _reduced("all studies", scored, rows, everything, weights, patients, names)
    out = []
    for way in ways:
        inside = [set(way.of(sample.studies[study_id][1], image_id)) for study_id, image_id in units]
        masks = {name: np.array([name in of for of in inside], dtype=bool) for name in way.names}
        parts = {
            name: _reduced(name, scored, rows, mask, weights, patients, names)
            for name, mask in masks.items()
            if mask.any()
        }
        for score in scores if parts else ():
            mine = [part[score.metric] for part in parts.values()]
            out.append(
                Sliced(
                    named.name,
                    run.folder,
                    str(run.summary["dataset"]),
                    str(run.summary["dataset_digest"]),
                    bool(run.summary["synthetic"]),
                    score.metric,
                    score.protocol,
                    score.signature,
                    score.higher_is_better,
                    way.by,
                    way.source,
                    whole[score.metric].slice,
                    tuple(each.slice for each in mine),
                    sum(not of for of in inside),
                    _gap(mine, score.higher_is_better),
                )
            )
    return out


class _Drawn(NamedTuple):
    """A slice, and its value in each resample; None where the metric can't be resampled."""

    slice: Slice
    values: stats.Array | None


def _reduced(
    name: str,
    scored: Scored,
    rows: pd.DataFrame,
    mask: Mask,
    weights: stats.Array,
    patients: npt.NDArray[Any],
    names: Sequence[str],
) -> dict[str, _Drawn]:
    """The scores of some rows, taken for data of their own: a label that none of them has is not theirs to miss."""
    n, n_patients = int(mask.sum()), len(set(patients[mask]))
    if n_patients < LEAST:
        reason = f"{n_patients} {'patient' if n_patients == 1 else 'patients'}: fewer than {LEAST}, so no score"
        return dict.fromkeys(names, _Drawn(Slice(name, n, n_patients, None, None, reason), None))
    metric = scored.part.obj
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is undefined here gets its reason below
            values = metric.reduce(rows[mask])
            resamplable = getattr(metric, "resamplable", True)
            drawn = metric.reduce(rows[mask], weights[:, mask]) if resamplable else {}
            left_out = metric.reduce(rows[mask], stats.left_out_weights(patients[mask].tolist())) if resamplable else {}
    except FAULTS as error:
        reason = f"the metric failed on this slice ({type(error).__name__})"
        return dict.fromkeys(names, _Drawn(Slice(name, n, n_patients, None, None, reason), None))
    out = {}
    for each in names:
        value = float(values.get(each, np.nan))
        if not np.isfinite(value):
            reason = "undefined on this slice (a label: no positive or no negative case)"
            out[each] = _Drawn(Slice(name, n, n_patients, None, None, reason), None)
            continue
        of_draws = np.asarray(drawn[each], float) if each in drawn else None
        interval = stats.bca_interval(value, of_draws, np.asarray(left_out[each])) if of_draws is not None else None
        out[each] = _Drawn(Slice(name, n, n_patients, value, interval), of_draws)
    return out


def _gap(parts: Sequence[_Drawn], higher_is_better: bool) -> Gap | None:
    """From the worst slice to the best; None where fewer than two have a value."""
    known = [part for part in parts if part.slice.value is not None]
    if len(known) < 2:
        return None
    values = np.array([part.slice.value for part in known], dtype=float)
    worst, best = (values.argmin(), values.argmax()) if higher_is_better else (values.argmax(), values.argmin())
    draws = [part.values for part in known if part.values is not None]
    patients = [part.slice.n_patients for part in known]
    interval = gap_interval(values, np.stack(draws, axis=1), patients) if len(draws) == len(known) else None
    return Gap(known[worst].slice.name, known[best].slice.name, float(np.ptp(values)), interval)


def gap_interval(
    values: stats.Array, draws: stats.Array, patients: Sequence[int], level: float = LEVEL
) -> tuple[float, float] | None:
    """An interval of the largest difference between any two slices that is true whichever two were found to be it.

    ``values`` has the shape (slices,), ``draws`` (resamples, slices); ``patients`` is how many each slice has. The
    worst and the best were chosen by looking, so an interval of their difference alone is too far from 0, and so is the
    spread of resampled gaps, which is never 0. This one is simultaneous over all pairs: each pair's difference plus or
    minus c of its standard errors, where c is the ``level`` quantile, over the resamples, of the largest standardised
    deviation of any pair (the bootstrapped max-T; Westfall & Young, Resampling-Based Multiple Testing, 1993). Where
    all of these hold, the largest difference lies between the greatest lower and the greatest upper end. A lower end
    of 0: all slices may be alike. The deviations of a slice of n patients are widened as ``stats.bca_interval`` does:
    by sqrt(n / (n - 1)), and by Student's quantile over the normal's.

    None where in more than half of the resamples some slice has no value.
    """
    defined = draws[np.isfinite(draws).all(axis=1)]
    if len(values) < 2 or len(defined) < max(2, len(draws) / 2):
        return None
    tail = (1 - level) / 2
    wider = [
        math.sqrt(n / (n - 1)) * stats.student_quantile(tail, n - 1) / NormalDist().inv_cdf(tail) for n in patients
    ]
    deviation = (defined - values) * np.asarray(wider)
    first, second = np.triu_indices(len(values), k=1)
    of_pairs = deviation[:, first] - deviation[:, second]
    error = of_pairs.std(axis=0, ddof=1)
    standardised = stats.divide(np.abs(of_pairs), error, empty=0.0)
    reach = np.quantile(standardised.max(axis=1), level) * error
    size = np.abs(values[first] - values[second])
    return max(0.0, float((size - reach).max())), float((size + reach).max())
