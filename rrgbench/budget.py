"""`rrgbench budget`: which stage of a system loses the points, from runs with and without each stage's errors.

A grid of encoders (the oracle among them) by writers on the same studies has, for each system, the four corners that
``budget_split`` wants: the oracle and the system's encoder, each with the reference writer and with the system's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rrgbench import governance, pairing, stats, stored
from rrgbench.budget_grid import ORACLE, TEMPLATE, Cell, Grid, Missing, grid, system
from rrgbench.budget_split import Corners, Split
from rrgbench.errors import UsageError, did_you_mean
from rrgbench.pairing import Figure, Key

RESAMPLES = 1000
BEST = "best"
KNOWN_BEST = re.compile(
    r"(?!bertscore)(.+_)?(auroc|ap|precision|recall|f1)(_.+)?|.+_exact_match_.+|green|crimson|radrscore(_.+)?|gema_objective|gema_f1_.+|.+_error_free"
)
"""Scores in which a report (or an encoder) that says what is true reaches 1, whatever its words."""

_UNLIKE = "it is not computed alike, or has no value, in"


@dataclass(frozen=True)
class System:
    """One encoder and one writer: their score, and what each loses."""

    encoder: str
    writer: str
    value: float
    split: Split


@dataclass(frozen=True)
class Budgeted:
    """One score's budget, of the ``n`` studies (or images) that all of its runs scored.

    ``ceiling`` is what losses are counted from: 1 where that is ``known`` to be the best value, else the score of the
    oracle with the ``reference``, the writer that the others are measured against.
    """

    metric: str
    protocol: str
    signature: str
    higher_is_better: bool
    n: int
    n_patients: int
    ceiling: float
    known: bool
    reference: str
    systems: tuple[System, ...]
    reason: str | None = None  # why there are no intervals


@dataclass(frozen=True)
class ErrorBudget:
    """The budgets of all scores. ``missing`` are runs that would complete them; ``notes`` say what was left out."""

    dataset: str
    split: str | None
    synthetic: bool
    terms: str  # the strictest of the runs'
    runs: tuple[str, ...]
    budgets: tuple[Budgeted, ...]
    missing: tuple[Missing, ...]
    notes: tuple[str, ...]
    resamples: int

    def frame(self) -> pd.DataFrame:
        """A row a score, system and part of its loss."""
        rows = []
        for each in self.budgets:
            for one in each.systems:
                head = {"metric": each.metric, "protocol": each.protocol, "encoder": one.encoder, "writer": one.writer}
                for part, lost in vars(one.split).items():
                    if lost is not None and part != "order":
                        rows.append({**head, "score": one.value, "part": part, **asdict(lost), "n": each.n})
        return pd.DataFrame(rows)


def budget(
    folders: Sequence[Path],
    metrics: Sequence[str] | None = None,
    *,
    reference: str | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> ErrorBudget:
    """Split what each system of a grid of runs loses. What `rrgbench budget` does.

    ``metrics`` are names of scores, or ``["all"]``; without any, the headline scores. ``reference`` is the writer that
    the others are measured against, by name, or "best": the one whose run with the oracle is best in the score.
    Without it: ``template``, but for scores without a known best value "best". Raises UsageError for runs that can't be
    compared, and where the run of the oracle and the reference writer is missing.
    """
    notes: dict[str, None] = {}
    cells = grid(pairing.named([stored.read(Path(folder)) for folder in folders]), notes)
    if reference not in (None, BEST, *cells.writers):
        raise UsageError(
            f"No run is written by {reference!r}.{did_you_mean(str(reference), cells.writers)} There are:"
            f" {', '.join(cells.writers)}."
        )
    by_key: dict[Key, dict[Cell, Figure]] = {}
    for cell, named in cells.cells.items():
        for key, figure in pairing.figures(named, metrics, notes).items():
            by_key.setdefault(key, {})[cell] = figure
    samples = _Samples(cells, resamples, seed)
    missing: dict[Cell, None] = {}
    budgets: list[Budgeted] = []
    for key, figures in by_key.items():
        writer = reference if reference not in (None, BEST) else _chosen(key[0], figures, cells, reference, notes)
        corners = {corner for cell in figures for corner in _corners(cell, writer)} - figures.keys()
        missing.update(dict.fromkeys(sorted(corners - cells.cells.keys())))
        unlike = ", ".join(system(corner) for corner in sorted(corners & cells.cells.keys()))
        if (ORACLE, writer) not in figures:
            if unlike:
                notes[
                    f"{key[0]} under {key[1]} of {', '.join(map(system, figures))} is left out: {_UNLIKE} {unlike}"
                ] = None
        elif len(figures) > 1:
            if unlike:
                notes[f"{key[0]} under {key[1]} lacks a corner: {_UNLIKE} {unlike}"] = None
            found = _budgeted(key, figures, writer, samples, notes)
            budgets += [found] if found else []
    for cell, named in cells.cells.items():
        lost = sum(named.run.summary["failures"].values())
        if lost and named.run.summary["failures_count_as"] == "exclude":
            notes[f"{system(cell)} made no report of {lost} studies: what that loses is not in the budget"] = None
    lacking = tuple(cells.missing(cell) for cell in missing)
    if not budgets:
        why = "".join(f"\n{each.system} is missing: {each.command}" for each in lacking) or f" {'; '.join(notes)}"
        raise UsageError(
            "A budget needs a run of the oracle with the writer that others are measured against, another run, and a"
            f" score that is computed alike in both.{why}"
        )
    runs = [each.run for each in cells.cells.values()]
    return ErrorBudget(
        dataset=str(runs[0].summary["dataset_spec"]),
        split=runs[0].summary["split"],
        synthetic=any(run.summary["synthetic"] for run in runs),
        terms=governance.strictest(str(run.summary["terms"]) for run in runs),
        runs=tuple(system(cell) for cell in cells.cells),
        budgets=tuple(sorted(budgets, key=_order)),
        missing=lacking,
        notes=tuple(notes),
        resamples=resamples,
    )


def _chosen(metric: str, figures: Mapping[Cell, Figure], cells: Grid, asked: str | None, notes: dict[str, None]) -> str:
    """The writer that the others are measured against in a score, where none was named."""
    if asked is None and KNOWN_BEST.fullmatch(metric):
        if TEMPLATE in cells.writers:
            return TEMPLATE
        notes["no run is written by template: writers are measured against the one that is best with the oracle"] = None
    reached = {}
    for writer in cells.writers:  # template first: of equals it is the one
        figure = figures.get((ORACLE, writer))
        if figure and figure.score.value is not None:
            reached[writer] = figure.score.value if figure.score.higher_is_better else -figure.score.value
    return max(reached, key=lambda writer: reached[writer], default=cells.writers[0])


def _corners(cell: Cell, reference: str) -> tuple[Cell, Cell, Cell]:
    """Where neither stage errs, where only the encoder does, where only the writer does."""
    encoder, writer = cell
    return (ORACLE, reference), (encoder, reference), (ORACLE, writer)


def _order(each: Budgeted) -> tuple[str, int]:
    """By protocol, then as leaderboards order scores."""
    headlines = pairing.headlines()
    return each.protocol, headlines.index(each.metric) if each.metric in headlines else len(headlines)


# --- one score --------------------------------------------------------------------------------------------------------


def _budgeted(
    key: Key, figures: Mapping[Cell, Figure], reference: str, samples: _Samples, notes: dict[str, None]
) -> Budgeted | None:
    """The budget of one score; None where a run has no value of it. Adds to ``notes`` what is not in it."""
    metric, protocol, signature = key
    best = figures[ORACLE, reference]
    units = samples.units(list(figures.values()))
    counts = {cell: len(figure.scored.rows) for cell, figure in figures.items()}
    fewest = min(counts, key=lambda cell: counts[cell])
    if len(units) < max(counts.values()):
        notes[
            f"under {protocol}, {system(fewest)} has {counts[fewest]} of {max(counts.values())}: budgeted are the"
            f" {len(units)} that all runs have"
        ] = None
    scores = {cell: samples.of(metric, figure, units) for cell, figure in figures.items()} if len(units) else {}
    if undefined := [cell for cell in figures if cell not in scores or not np.isfinite(scores[cell][0])]:
        notes[f"{metric} under {protocol} is left out: {system(undefined[0])} has no value on these studies"] = None
        return None
    higher = best.score.higher_is_better
    known = higher and bool(KNOWN_BEST.fullmatch(metric))
    gains = {cell: score if higher else -score for cell, score in scores.items()}
    systems = []
    for cell in sorted(figures, key=lambda cell: (cell[0] != ORACLE, cell[0], cell[1] != reference, cell[1])):
        neither, encoder, writer = (gains.get(corner) for corner in _corners(cell, reference))
        assert neither is not None  # the caller has it
        split = Corners(neither, encoder, writer, gains[cell], samples.resamples).split(1.0 if known else None)
        if cell[0] == ORACLE or cell[1] == reference:
            split = replace(split, interaction=None)  # one of the two stages alone
        systems.append(System(*cell, float(scores[cell][0]), split))
    return Budgeted(
        metric=metric,
        protocol=protocol,
        signature=signature,
        higher_is_better=higher,
        n=len(units),
        n_patients=len(set(samples.patients(units))),
        ceiling=1.0 if known else float(scores[ORACLE, reference][0]),
        known=known,
        reference=reference,
        systems=tuple(systems),
        reason=samples.why_not(best, units),
    )


class _Samples:
    """Scores of runs on the same units under the same draws of patients, as ``Corners`` wants them."""

    def __init__(self, cells: Grid, resamples: int, seed: int) -> None:
        self.resamples, self._seed = resamples, seed
        patients = pd.concat([named.run.patients for named in cells.cells.values()])
        self._patients = patients[~patients.index.duplicated()]
        self._units: dict[tuple[int, ...], pd.Index[Any]] = {}
        self._weights: dict[int, list[stats.Array]] = {}
        self._reduced: dict[tuple[int, int], Mapping[str, stats.Array]] = {}

    def units(self, figures: Sequence[Figure]) -> pd.Index[Any]:
        """The studies (or images) that all have rows of; the same object for the same rows."""
        key = tuple(id(figure.scored) for figure in figures)
        if key not in self._units:
            units = figures[0].scored.rows.index
            for figure in figures[1:]:
                units = units[units.isin(figure.scored.rows.index)]
            self._units[key] = next((known for known in self._units.values() if known.equals(units)), units)
        return self._units[key]

    def of(self, metric: str, figure: Figure, units: pd.Index[Any]) -> stats.Array:
        """One run's score."""
        key = (id(figure.scored), id(units))
        if key not in self._reduced:
            rows, reduce = figure.scored.rows.loc[units], figure.scored.part.obj.reduce
            found = {name: np.atleast_1d(np.asarray(value, float)) for name, value in reduce(rows).items()}
            for weights in self._drawn(units) if self.why_not(figure, units) is None else ():
                drawn = reduce(rows, weights)
                found = {name: np.concatenate([sofar, drawn[name]]) for name, sofar in found.items()}
            self._reduced[key] = found
        return self._reduced[key][metric]

    def _drawn(self, units: pd.Index[Any]) -> list[stats.Array]:
        if id(units) not in self._weights:
            patients = self.patients(units)
            drawn = stats.patient_weights(patients, self.resamples, self._seed)
            self._weights[id(units)] = [drawn, stats.left_out_weights(patients)]
        return self._weights[id(units)]

    def patients(self, units: pd.Index[Any]) -> list[str]:
        """The patient of each unit."""
        return [str(patient) for patient in self._patients.loc[units]]

    def why_not(self, figure: Figure, units: pd.Index[Any]) -> str | None:
        """Why a score has no intervals, if it has none."""
        if not getattr(figure.scored.part.obj, "resamplable", True):
            return "the metric says that resampling its rows means nothing"
        if len(set(self.patients(units))) < 2:
            return "nothing can be said of fewer than two patients that all runs scored"
        return None
