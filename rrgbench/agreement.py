"""`rrgbench agreement RUN [RUN2]`: whether two judges say the same of the same reports, and where they part.

Everything comes from the rows that runs keep: no judge is asked again. A report that only one of the two judged is
counted and left out; nothing is put in the place of a value that is not there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rrgbench import __version__, pairing, stats, stored, twice
from rrgbench.coefficients import krippendorff_alpha, tau_and_gamma
from rrgbench.errors import UsageError, did_you_mean
from rrgbench.governance import strictest
from rrgbench.twice import Side

RESAMPLES = 1000
TOP = 10  # reports named where two part most

Interval = stats.Interval | None


@dataclass(frozen=True)
class Parted:
    """A report of which two say different things. ``image_id`` is None where the protocol counts studies."""

    study_id: str
    image_id: str | None
    a: float
    b: float


@dataclass(frozen=True)
class Agreed:
    """How far two agree in one score.

    ``n`` reports have the score from both, ``only_a`` and ``only_b`` from one alone: the other failed there or has no
    such score, and nothing is put in its place. All else is of the ``n``. ``difference`` is the mean of B minus A,
    ``a_higher``, ``b_higher`` and ``same`` are shares of the reports, and ``offset`` is the share of the mean squared
    difference that the mean difference makes: 1 where B is A plus a constant, 0 where neither is higher on average.
    ``tau`` is Kendall's tau-b, -1 to 1; ``same_order`` the share of the pairs of reports that both tell apart which
    both put in the same order. ``alpha`` is Krippendorff's for interval data: 1 where all values are the same, 0 where
    they are as far apart as values drawn at random. Intervals are 95 %, by drawing patients. What could not be computed
    is None, and ``reason`` says why. ``parted`` are the reports with the largest differences, the largest first.
    """

    metric: str
    higher_is_better: bool
    n: int
    only_a: int
    only_b: int
    n_patients: int
    mean_a: float | None = None
    mean_b: float | None = None
    difference: float | None = None
    difference_ci: Interval = None
    a_higher: float | None = None
    b_higher: float | None = None
    same: float | None = None
    offset: float | None = None
    tau: float | None = None
    tau_ci: Interval = None
    same_order: float | None = None
    alpha: float | None = None
    alpha_ci: Interval = None
    reason: str | None = None
    parted: tuple[Parted, ...] = ()

    @property
    def pattern(self) -> str:
        """In sentences: does one give higher values throughout, or do they rank the reports otherwise?"""
        if self.difference is None or self.same is None:
            return f"Nothing can be said: {self.reason}."
        if self.same == 1:
            return "Both say the same of every report."
        more, less = (self.b_higher, self.a_higher) if self.difference > 0 else (self.a_higher, self.b_higher)
        shares = f"more on {more:.0%} of the reports, less on {less:.0%}"
        interval = " [{:+.3f}, {:+.3f}]".format(*self.difference_ci) if self.difference_ci else ""
        if self.difference_ci and not self.difference_ci[0] <= 0 <= self.difference_ci[1]:
            said = (
                f"{'B' if self.difference > 0 else 'A'} gives {abs(self.difference):.3f} more on average ({shares});"
                f" that offset is {self.offset:.0%} of the mean squared difference."
            )
        elif self.difference_ci:
            said = f"Neither gives more throughout: B - A is {self.difference:+.3f}{interval}."
        else:
            said = f"B - A is {self.difference:+.3f} on average, without an interval."
        if self.same_order is not None:
            said += f" Of two reports that both tell apart, {self.same_order:.0%} stand in the same order"
            by_chance = self.tau_ci is not None and self.tau_ci[0] <= 0 <= self.tau_ci[1]
            said += ": that may be chance (tau-b's interval holds 0)." if by_chance else "."
        return said

    def record(self) -> dict[str, Any]:
        """All of it, as JSON takes it."""
        return {**asdict(self), "pattern": self.pattern}


@dataclass(frozen=True)
class Pair:
    """Two metrics that give scores of one name. ``differ`` says in words what their signatures don't share."""

    protocol: str
    a: str
    b: str
    differ: tuple[str, ...]
    scores: tuple[Agreed, ...]

    def record(self) -> dict[str, Any]:
        """All of it, as JSON takes it."""
        return {**asdict(self), "scores": [score.record() for score in self.scores]}


@dataclass(frozen=True)
class Agreement:
    """Every pair that was found. ``notes`` say what was left out, and what else should be known."""

    runs: tuple[str, ...]
    dataset: str
    split: str | None
    synthetic: bool
    terms: str
    resamples: int
    seed: int
    pairs: tuple[Pair, ...]
    notes: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """All of it, as JSON takes it. ``parted`` names studies; all else are aggregates."""
        return {"rrgbench": __version__, **asdict(self), "pairs": [pair.record() for pair in self.pairs]}


def agreement(
    run: Path | str,
    other: Path | str | None = None,
    metrics: Sequence[str] | None = None,
    *,
    top: int = TOP,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Agreement:
    """How far two judges of the same reports agree. What `rrgbench agreement` does.

    Within one run folder each two metrics that give a score of one name under one protocol are compared: by two
    judges, by one judge twice (``repeat=2``), from two files of replies, with two tokenizers. With ``other``, a folder
    of the same reports, each metric of the one with each such of the other. ``metrics`` are names of scores, or
    ``["all"]``; by default those that the rows hold as they are, else the headline scores, else all. ``top`` is how
    many reports are named where the two part most. Raises UsageError where there is no such pair, and for runs of
    other reports.
    """
    folders = [Path(run), *([Path(other)] if other is not None else [])]
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise UsageError(f"{run} is given twice: give it once to compare the metrics that it holds with one another.")
    runs = pairing.named([stored.read(folder) for folder in folders])
    if len(runs) == 2:
        twice.check_same_reports(*runs)
    notes: dict[str, None] = {}
    found = twice.pairs(runs, notes)
    known = dict.fromkeys(name for *_, shared in found for name in shared)
    if lacking := [name for name in metrics or () if name not in known and name != pairing.ALL]:
        there = did_you_mean(lacking[0], known) or f" There are: {', '.join(known)}."
        raise UsageError(f"No two metrics here give {lacking[0]!r}.{there}")
    pairs = []
    for a, b, shared in found:
        if names := twice.chosen(a, b, shared, metrics):
            agreed = tuple(_agreed(name, a, b, top, resamples, seed) for name in names)
            pairs.append(Pair(a.scored.protocol, a.name, b.name, twice.differ(a, b, names), agreed))
            notes.update(dict.fromkeys(twice.to_know(a, b, names)))
    summary = runs[0].run.summary
    return Agreement(
        runs=tuple(each.name for each in runs),
        dataset=str(summary["dataset_spec"]),
        split=summary["split"],
        synthetic=bool(summary["synthetic"]),
        terms=strictest(str(each.run.summary["terms"]) for each in runs),
        resamples=resamples,
        seed=seed,
        pairs=tuple(pairs),
        notes=tuple(notes),
    )


# --- one score of a pair ----------------------------------------------------------------------------------------------


def _agreed(name: str, a: Side, b: Side, top: int, resamples: int, seed: int) -> Agreed:
    of_a, of_b = a.values[name].dropna(), b.values[name].dropna()
    both = of_a.index[of_a.index.isin(of_b.index)]
    x, y = of_a.loc[both].to_numpy(float), of_b.loc[both].to_numpy(float)
    patients = [str(patient) for patient in a.run.run.patients.loc[both]]
    n, n_patients = len(both), len(set(patients))
    higher_is_better = bool(a.scored.part.obj.higher_is_better.get(name, True))
    counted = Agreed(name, higher_is_better, n, len(of_a) - n, len(of_b) - n, n_patients)
    if not n:
        return replace(counted, reason="no report has this score from both")
    value = {key: float(each[0]) for key, each in _figures(x, y, np.ones((1, n))).items()}
    intervals: dict[str, Interval] = {}
    if resamples and n_patients > 1:
        drawn = _figures(x, y, stats.patient_weights(patients, resamples, seed))
        left_out = _figures(x, y, stats.left_out_weights(patients))
        intervals = {key: stats.bca_interval(value[key], drawn[key], left_out[key]) for key in value}
    difference = y - x
    squares = float((difference**2).mean())
    most = np.argsort(-np.abs(difference), kind="stable")[:top]
    return replace(
        counted,
        mean_a=float(x.mean()),
        mean_b=float(y.mean()),
        difference=value["difference"],
        difference_ci=intervals.get("difference"),
        a_higher=float((x > y).mean()),
        b_higher=float((y > x).mean()),
        same=float((x == y).mean()),
        offset=value["difference"] ** 2 / squares if squares else None,
        tau=_known(value["tau"]),
        tau_ci=intervals.get("tau"),
        same_order=_known((1 + value["gamma"]) / 2),
        alpha=_known(value["alpha"]),
        alpha_ci=intervals.get("alpha"),
        reason="; ".join(_lacking(x, y, n_patients)) or None,
        parted=tuple(
            Parted(str(both[at][0]), str(both[at][1]) or None, float(x[at]), float(y[at]))
            for at in most
            if difference[at]
        ),
    )


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _lacking(x: stats.Array, y: stats.Array, n_patients: int) -> Iterator[str]:
    """Why something can't be computed."""
    constant = [side for side, values in (("A", x), ("B", y)) if np.ptp(values) == 0]
    if len(x) == 1:
        yield "one report has no order and no spread"
    elif constant:
        yield f"no tau: {' and '.join(constant)} {'give' if constant[1:] else 'gives'} every report the same value"
        if np.ptp([x, y]) == 0:
            yield "no alpha: all values are the same"
    if n_patients == 1:
        yield "no interval: it takes two patients"


def _figures(x: stats.Array, y: stats.Array, weights: stats.Array) -> dict[str, stats.Array]:
    tau, gamma = tau_and_gamma(x, y, weights)
    return {
        "difference": stats.mean(y - x, weights),
        "tau": tau,
        "gamma": gamma,
        "alpha": krippendorff_alpha(np.stack([x, y], axis=1), weights),
    }
