"""`rrgbench matrix`: encoders trained on one dataset and tested on another, whole and by slice, in one table.

Nothing here is new: each encoder is trained by ``training``, run by ``harness`` with the template writer, and cut by
``slicing``. Trainings and runs that are there already are not made again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from rrgbench import harness, parts, plugins, slicing, training
from rrgbench.config import MatrixConfig, RunConfig, TrainConfig, check
from rrgbench.errors import UsageError
from rrgbench.governance import strictest
from rrgbench.runs import RunResult
from rrgbench.slicing import Slice, Sliced
from rrgbench.specs import Spec

METRICS = ("classification", "calibration", "brier")
SCORE = "auroc_macro"
ALL = "all"
SEEN = "the encoder was trained on"  # of a run's warnings, the one that makes its cell no measurement
UNMEASURED = "no label in common, or none known"


@dataclass(frozen=True)
class Cell:
    """One encoder on one test set: the macro AUROC of all studies and of each slice, by the way of cutting.

    ``labels`` are those that the average is over: what the encoder and the dataset both have. ``trained_on`` is None
    where the encoder was given with its weights and doesn't say. ``cuts`` has one entry a way of cutting. Where nothing
    could be measured, ``labels`` and ``cuts`` are empty, and ``overall`` says why.
    """

    encoder: str
    trained_on: str | None
    tested_on: str
    labels: tuple[str, ...]
    overall: Slice
    cuts: tuple[Sliced, ...]
    run: RunResult

    @property
    def name(self) -> str:
        """The encoder, and what it was trained on where that is known."""
        return f"{self.encoder} trained on {self.trained_on}" if self.trained_on else self.encoder


@dataclass(frozen=True)
class Matrix:
    """All of the cells, row by row. ``notes`` say what can't be compared or cut, and what failed."""

    cells: tuple[Cell, ...]
    notes: tuple[str, ...]
    terms: str  # the strictest of the runs'

    def frame(self) -> pd.DataFrame:
        """A row a slice; ``by`` is "all" for all studies of a cell."""
        rows = []
        for cell in self.cells:
            for by, slices in {ALL: (cell.overall,), **{cut.by: cut.slices for cut in cell.cuts}}.items():
                for each in slices:
                    low, high = each.ci or (None, None)
                    rows.append(
                        {
                            "encoder": cell.encoder,
                            "trained_on": cell.trained_on,
                            "tested_on": cell.tested_on,
                            "by": by,
                            "slice": each.name,
                            "n": each.n,
                            "n_patients": each.n_patients,
                            "labels": len(cell.labels),
                            SCORE: each.value,
                            "low": low,
                            "high": high,
                            "reason": each.reason,
                        }
                    )
        return pd.DataFrame(rows)


def matrix(config: MatrixConfig | Mapping[str, Any]) -> Matrix:
    """Train each encoder on each ``train`` dataset and test it on each ``test`` dataset. Raises UsageError.

    Without ``train``, encoders are tested with the weights that they have; without ``test``, on the datasets that they
    were trained on.
    """
    if not isinstance(config, MatrixConfig):
        config = check(MatrixConfig, config)
    tests = config.test or config.train
    if not tests:
        raise UsageError("Say on which datasets to test: --test SPEC, or --train SPEC to train and test on them.")
    names = _names("dataset", [*config.train, *tests])
    cells: list[Cell] = []
    notes: dict[str, None] = {}
    for encoder, name, trained_on in _encoders(config, names):
        for dataset in dict.fromkeys(tests):
            cells.append(_cell(config, encoder, name, trained_on, dataset, names[dataset], notes))
    if not any(cell.labels or cell.overall.n for cell in cells):
        raise UsageError("\n".join(notes))
    measured = [cell for cell in cells if cell.labels]
    if len({cell.labels for cell in measured}) > 1:
        said = "; ".join(dict.fromkeys(f"{c.tested_on}: {len(c.labels)} ({', '.join(c.labels)})" for c in measured))
        notes[f"The averages are not all over the same labels. {said}"] = None
    return Matrix(tuple(cells), tuple(notes), strictest([cell.run.summary["terms"] for cell in cells]))


def _names(kind: str, specs: Iterable[Spec]) -> dict[Spec, str]:
    """What to call each part: its public spec, numbered where files of one name lie in different folders."""
    names: dict[Spec, str] = {}
    for spec in dict.fromkeys(specs):
        name = parts.build(plugins.catalogue(), kind, spec).public
        same = sum(other == name or other.startswith(f"{name} (") for other in names.values())
        names[spec] = f"{name} ({same + 1})" if same else name
    return names


def _encoders(config: MatrixConfig, datasets: Mapping[Spec, str]) -> Iterator[tuple[Spec, str, str | None]]:
    """Each encoder to test, with what to call it and the dataset it was trained on."""
    for encoder, name in _names("encoder", config.encoder).items():
        if not config.train:
            given = parts.build(plugins.catalogue(), "encoder", encoder)
            yield encoder, name, getattr(given.obj, "trained_on", None)
        for dataset in dict.fromkeys(config.train):
            asked = TrainConfig(encoder=encoder, dataset=dataset, recipe=config.recipe, out=config.models)
            yield training.train(asked).spec, name, datasets[dataset]


def _cell(
    config: MatrixConfig,
    encoder: Spec,
    name: str,
    trained_on: str | None,
    dataset: Spec,
    tested_on: str,
    notes: dict[str, None],
) -> Cell:
    asked = RunConfig(
        dataset=[dataset],
        encoder=[encoder],
        metric=[Spec(metric) for metric in METRICS],
        split=config.split,
        limit=config.limit,
        out=config.out,
        seed=config.seed,
        resamples=config.resamples,
    )
    (run,) = harness.run(asked).runs
    assert run.folder is not None  # a run of a configuration keeps its folder
    score = next((score for score in run.scores if score.metric == SCORE), None)
    if lost := run.summary["failures"]:
        counted = ", ".join(f"{number} {kind}" for kind, number in lost.items())
        notes[f"{name} on {tested_on}: {sum(lost.values())} studies failed ({counted}); the run folder names them"] = (
            None
        )
    for warning in run.manifest["warnings"]:
        if SEEN in warning:
            notes[f"{name} on {tested_on}: {warning}"] = None
    if score is None:
        faults = "; ".join(run.manifest["faults"])
        notes[f"{name} can't be measured on {tested_on}: {UNMEASURED}{faults and f' ({faults})'}."] = None
        empty = Slice(ALL, 0, 0, None, None, UNMEASURED)
        return Cell(name, trained_on, tested_on, (), empty, (), run)
    whole = Slice(ALL, score.n, int(run.summary["n_patients"]), score.value, score.ci, score.reason)
    if score.value is None:
        return Cell(name, trained_on, tested_on, (), whole, (), run)
    cut = slicing.slices([run.folder], config.by, [SCORE])
    notes |= dict.fromkeys(cut.notes)
    overall = next((each.overall for each in cut.cuts), whole)
    labels = tuple(
        sorted(
            each.metric.removeprefix("auroc_")
            for each in run.scores
            if each.metric.startswith("auroc_") and each.metric != SCORE and each.value is not None
        )
    )
    return Cell(name, trained_on, tested_on, labels, replace(overall, name=ALL), cut.cuts, run)
