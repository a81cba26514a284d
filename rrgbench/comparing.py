"""`rrgbench compare A B …`: by how much runs differ on the same studies, and whether that is more than chance.

All of it comes from the rows that the runs kept: no metric is computed from texts again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rrgbench import pairing, stats, stored
from rrgbench.errors import UsageError
from rrgbench.pairing import Named, Shared
from rrgbench.runs import RunResult
from rrgbench.scoring import UNDEFINED

RESAMPLES, SWAPS = 1000, 10_000
MOVED = 5  # studies named on either side
TIE = 0.0005  # a gain of 0 to three decimals


@dataclass(frozen=True)
class Moved:
    """What b's report of one study, in place of a's, does to the score, times the number of studies.

    The mean of what a's score gains by it and what b's score loses without it. Of a mean over studies that is the
    difference of the study's own two scores. Above 0 is better, whatever the metric.
    """

    study_id: str
    gain: float


@dataclass(frozen=True)
class Comparison:
    """One score of two runs, on the studies (or images) that both scored. docs/statistics.md says how each is made.

    ``difference`` is b's value minus a's, ``ci`` its 95 % interval, ``p`` that of paired randomisation, ``p_holm`` and
    ``p_bh`` the same adjusted for all the comparisons made together; ``smallest`` is the smallest true difference that
    the sample could show. ``better``, ``worse`` and ``same`` count the studies for which b's report in place of a's
    makes the score better, worse, or leaves it as it is to three decimals (``Moved.gain``); ``most_better`` and
    ``most_worse`` are those that move it most. What could not be computed is None, and ``reason`` says why.
    """

    metric: str
    protocol: str
    a: str
    b: str
    n: int
    n_patients: int
    value_a: float | None
    value_b: float | None
    difference: float | None
    higher_is_better: bool
    signature: str
    ci: stats.Interval | None = None
    p: float | None = None
    p_holm: float | None = None
    p_bh: float | None = None
    smallest: float | None = None
    better: int | None = None
    worse: int | None = None
    same: int | None = None
    most_better: tuple[Moved, ...] = ()
    most_worse: tuple[Moved, ...] = ()
    reason: str | None = None


@dataclass(frozen=True)
class Compared:
    """Runs compared with the first of them. ``notes`` say what was left out, and why."""

    dataset: str
    split: str | None
    synthetic: bool
    runs: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...]
    resamples: int
    swaps: int

    def frame(self) -> pd.DataFrame:
        """A row a comparison."""
        frame = pd.DataFrame([asdict(each) for each in self.comparisons])
        return frame.drop(columns=["most_better", "most_worse"])


def compare(
    runs: Sequence[Path | str | RunResult],
    metrics: Sequence[str] | None = None,
    *,
    resamples: int = RESAMPLES,
    swaps: int = SWAPS,
    seed: int = 0,
) -> Compared:
    """Compare each run with the first. What `rrgbench compare` does.

    ``runs`` are run folders, or what ``rrgbench.run`` gave. ``metrics`` are names of scores, or ``["all"]``; without
    any, the headline scores. p-values are adjusted for all the comparisons that are made. Raises UsageError for runs
    that can't be compared: other studies, another way to count failures, no score computed alike in both.
    """
    if len(runs) < 2:
        raise UsageError("Give at least two run folders: each is compared with the first.")
    first, *others = pairing.named([stored.read(_folder(run)) for run in runs])
    notes: dict[str, None] = {}
    comparisons: list[Comparison] = []
    ours = pairing.figures(first, metrics, notes)
    for other in others:
        pairing.check_alike(first, other)
        theirs = pairing.figures(other, metrics, notes)
        for group in pairing.shared(first, other, ours, theirs, metrics, notes):
            for shared in pairing.judged_alike(group):
                comparisons += _Pair(first, other, shared, notes).compared(resamples, swaps, seed)
    names = [first.name, *(other.name for other in others)]
    summary = first.run.summary
    return Compared(
        dataset=str(summary["dataset_spec"]),
        split=summary["split"],
        synthetic=bool(summary["synthetic"]),
        runs=tuple(names),
        comparisons=tuple(_adjusted(sorted(comparisons, key=lambda each: _order(each, names)))),
        notes=tuple(notes),
        resamples=resamples,
        swaps=swaps,
    )


def _folder(run: Path | str | RunResult) -> Path:
    if not isinstance(run, RunResult):
        return Path(run)
    if run.folder is None:
        raise UsageError("This run kept no folder: give rrgbench.score an out=, and compare that.")
    return run.folder


# --- one pair of runs under one metric --------------------------------------------------------------------------------


class _Pair:
    """The rows of one metric in two runs, of the units that both scored."""

    def __init__(self, first: Named, other: Named, shared: Shared, notes: dict[str, None]) -> None:
        in_a, in_b = shared.a.rows.index, shared.b.rows.index
        both = in_a[in_a.isin(in_b)]
        self.scores, self.names = shared.scores, (first.name, other.name)
        self.metric = shared.a.part.obj
        self.rows = (shared.a.rows.loc[both], shared.b.rows.loc[both])
        self.patients = [str(patient) for patient in first.run.patients.loc[both]]
        self.studies = [str(study_id) for study_id in both.get_level_values("study_id")]
        if len(both) < max(len(in_a), len(in_b)):
            sides = f"{first.name} has {len(in_a)} and {other.name} {len(in_b)}"
            notes[f"under {shared.a.protocol}, {sides}: compared are the {len(both)} that both have"] = None

    def compared(self, resamples: int, swaps: int, seed: int) -> Iterator[Comparison]:
        """Each score of the two."""
        values = [self.metric.reduce(rows) if self.studies else {} for rows in self.rows]
        why = self._unresampled()
        drawn, left_out, swapped, gains = {}, {}, {}, {}
        if why is None:
            drawn = self._differences(stats.patient_weights(self.patients, resamples, seed))
            left_out = self._differences(stats.left_out_weights(self.patients))
            beside, exchangeable = self._beside(*values)
            swapped = _swapped(self.metric, beside, exchangeable, stats.swap_weights(self.patients, swaps, seed))
            gains = self._gains(beside, exchangeable, *values)
        for score in self.scores:
            name = score.metric
            one, two = (float(each.get(name, np.nan)) for each in values)
            found = Comparison(
                metric=name,
                protocol=score.protocol,
                a=self.names[0],
                b=self.names[1],
                n=len(self.studies),
                n_patients=len(set(self.patients)),
                value_a=one if np.isfinite(one) else None,
                value_b=two if np.isfinite(two) else None,
                difference=None,
                higher_is_better=score.higher_is_better,
                signature=score.signature,
                reason=why,
            )
            if not np.isfinite(two - one):
                yield replace(found, reason=why or UNDEFINED)
            elif why:
                yield replace(found, difference=two - one)
            else:
                found = replace(
                    found,
                    difference=two - one,
                    ci=stats.bca_interval(two - one, drawn[name], left_out[name]),
                    smallest=stats.smallest_difference(drawn[name]),
                )
                if name not in swapped:
                    yield replace(found, reason=_TIED)
                else:
                    found = replace(found, p=stats.randomisation_p(two - one, swapped[name]))
                    yield self._with_studies(found, gains[name])

    def _unresampled(self) -> str | None:
        """Why there is neither an interval nor a test, if there is none."""
        if not getattr(self.metric, "resamplable", True):
            return "the metric says that resampling its rows means nothing"
        if len(set(self.patients)) < 2:
            return "nothing can be said of fewer than two patients that both scored"
        return None

    def _differences(self, weights: stats.Array) -> dict[str, stats.Array]:
        """b's scores minus a's, under the same weights."""
        a, b = (self.metric.reduce(rows, weights) for rows in self.rows)
        return {name: b[name] - a[name] for name in b if name in a}

    def _beside(self, a: Mapping[str, float], b: Mapping[str, float]) -> tuple[pd.DataFrame, list[str]]:
        """The rows of a, then those of b, and which scores they still give when only one side counts.

        A score that depends on rows which don't count (on what is rare in all of them, say) can't be tested by swaps.
        """
        alike = getattr(self.metric, "exchangeable", lambda rows: rows)
        rows = pd.concat([alike(each) for each in self.rows])
        again = self.metric.reduce(rows, np.repeat(np.eye(2), len(self.studies), axis=1))
        same = {
            name: np.allclose(again[name], [a[name], b[name]], rtol=1e-6, atol=1e-9, equal_nan=True)
            for name in (score.metric for score in self.scores)
            if name in a and name in b
        }
        return rows, [name for name, holds in same.items() if holds]

    def _gains(
        self, beside: pd.DataFrame, names: Sequence[str], a: Mapping[str, float], b: Mapping[str, float]
    ) -> dict[str, stats.Array]:
        """``Moved.gain`` of each study, in the order of their ids, where higher is better."""
        studies, of_row = np.unique(np.asarray(self.studies, dtype=object), return_inverse=True)
        found: dict[str, list[stats.Array]] = {name: [] for name in names}
        most = max(1, stats.CHUNK // (2 * len(of_row)))
        for start in range(0, len(studies), most):
            theirs = np.arange(start, min(start + most, len(studies)))[:, None] == of_row[None]
            weights = np.concatenate([~theirs, theirs], axis=1).astype(float)
            with_theirs, with_ours = self.metric.reduce(beside, weights), self.metric.reduce(beside, 1 - weights)
            for name, of_study in found.items():
                of_study.append((with_theirs[name] - a[name] + b[name] - with_ours[name]) * len(studies) / 2)
        return {name: np.concatenate(each) for name, each in found.items()}

    def _with_studies(self, found: Comparison, gains: stats.Array) -> Comparison:
        """The comparison with the studies counted, and those that moved most."""
        gains = gains if found.higher_is_better else -gains
        moved = [Moved(str(s), float(g)) for s, g in zip(np.unique(self.studies), gains, strict=True)]
        better = sorted((each for each in moved if each.gain >= TIE), key=lambda each: -each.gain)
        worse = sorted((each for each in moved if each.gain <= -TIE), key=lambda each: each.gain)
        return replace(
            found,
            better=len(better),
            worse=len(worse),
            same=int(np.count_nonzero(np.abs(gains) < TIE)),
            most_better=tuple(better[:MOVED]),
            most_worse=tuple(worse[:MOVED]),
        )


_TIED = "no test: a run's rows don't give its own score where another's stand beside them, so the two can't be swapped"


def _swapped(
    metric: Any, beside: pd.DataFrame, names: Sequence[str], swaps: Iterator[stats.Array]
) -> dict[str, stats.Array]:
    """The differences of the scores after random swaps."""
    found: dict[str, list[stats.Array]] = {name: [] for name in names}
    for weights in swaps:
        a, b = metric.reduce(beside, weights), metric.reduce(beside, 1 - weights)
        for name, differences in found.items():
            differences.append(b[name] - a[name])
    return {name: np.concatenate(each) for name, each in found.items()}


# --- all of them together ---------------------------------------------------------------------------------------------


def _adjusted(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons with p-values that allow for how many they are."""
    p = {at: each.p for at, each in enumerate(comparisons) if each.p is not None}
    adjusted = dict(
        zip(p, zip(stats.holm(list(p.values())), stats.benjamini_hochberg(list(p.values())), strict=True), strict=True)
    )
    return [
        replace(each, p_holm=adjusted[at][0], p_bh=adjusted[at][1]) if at in adjusted else each
        for at, each in enumerate(comparisons)
    ]


def _order(each: Comparison, names: Sequence[str]) -> tuple[int, str, int]:
    """By run, then by protocol, then as leaderboards order scores."""
    headlines = pairing.headlines()
    rank = headlines.index(each.metric) if each.metric in headlines else len(headlines)
    return names.index(each.b), each.protocol, rank
