"""`rrgbench train --folds`: train an encoder once a fold, and keep what each said of the patients it never saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from rrgbench import parts, progress
from rrgbench.cache import digest
from rrgbench.config import TrainConfig
from rrgbench.encoding import encode
from rrgbench.errors import UsageError
from rrgbench.planning import context
from rrgbench.training import Job, Trained, fit, folder_of, prepare
from rrgbench.types import Findings, Study

PREDICTIONS = "out-of-fold.csv"
PREFIX = "prob_"


@dataclass(frozen=True)
class CrossValidated:
    """The trainings, a fold each, and the file of what they said of the studies that were held out.

    ``predictions`` has a row a study: study_id, patient_id, fold, and a column ``prob_<label>`` a label, blank where
    the fold's training did not learn it. ``failures`` says why a study has no row. ``splits`` are the dataset's that
    the studies are from; none where it has no splits.
    """

    folder: Path
    predictions: Path
    trained: tuple[Trained, ...]
    failures: Mapping[str, str]
    splits: tuple[str, ...]


def crossvalidate(config: TrainConfig | Mapping[str, Any]) -> CrossValidated:
    """Train in ``folds`` parts by patient; each is held out once, the next one validates, the others train.

    The studies are those of train and validate, or all of a dataset without splits: a test split is never touched. A
    patient's fold is a hash of their id. Raises UsageError.
    """
    job = prepare(config)
    folds = job.config.folds
    if folds is None:
        raise UsageError("Say in how many folds to cross-validate: folds=5.")
    splits = [split for split in ("train", "validate") if split in job.dataset.obj.splits]
    wanted: list[str | None] = [*splits] or [None]
    studies = [study for split in wanted for study in job.dataset.obj.load(split)]
    by_fold: list[list[Study]] = [[] for _ in range(folds)]
    for study in studies:
        by_fold[fold_of(study.patient_id, folds)].append(study)
    if empty := [number for number, held in enumerate(by_fold) if not held]:
        raise UsageError(f"{job.dataset.spec} has too few patients for {folds} folds: fold {empty[0]} has none.")
    folder = folder_of(job, studies)
    trained: list[Trained] = []
    rows: list[dict[str, Any]] = []
    failures: dict[str, str] = {}
    for number, held in enumerate(by_fold):
        validating = (number + 1) % folds
        train = [study for at, those in enumerate(by_fold) if at not in (number, validating) for study in those]
        encoder = parts.build(job.catalogue, "encoder", job.config.encoder)
        done = fit(job, encoder, train, by_fold[validating], folder / f"fold-{number}")
        trained.append(done)
        _predict(job, done, number, held, rows, failures)
    predictions = folder / PREDICTIONS
    frame = pd.DataFrame(rows)
    frame.to_csv(predictions, index=False)
    return CrossValidated(folder, predictions, tuple(trained), failures, tuple(splits))


def fold_of(patient_id: str, folds: int) -> int:
    """The fold of a patient, 0 to ``folds`` - 1: a hash, so that it depends on nothing else."""
    return int(digest("fold", patient_id)[:8], 16) % folds


def _predict(
    job: Job, trained: Trained, fold: int, held: list[Study], rows: list[dict[str, Any]], failures: dict[str, str]
) -> None:
    """Add a row for each study of the fold that was held out, or the reason why there is none."""
    encoder = parts.build(job.catalogue, "encoder", trained.spec)
    with progress.stage(f"fold {fold}", len(held)) as advance:
        found = encode(encoder, [context(study, encoder.obj.needs) for study in held], advance)
    for study in held:
        findings, _ = found[study.study_id]
        if not isinstance(findings, Findings):
            failures[study.study_id] = findings.message
            continue
        seen = {f"{PREFIX}{label}": None for label in findings.vocabulary.labels}
        seen |= {f"{PREFIX}{finding.label}": finding.probability for finding in findings}
        rows.append({"study_id": study.study_id, "patient_id": study.patient_id, "fold": fold, **seen})
