"""`rrgbench train`: an encoder's own ``fit`` on a dataset's splits, with a record of what was done."""

from __future__ import annotations

import datetime
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rrgbench import governance, parts, plugins, progress, provenance
from rrgbench.cache import digest
from rrgbench.config import TrainConfig, check
from rrgbench.errors import UsageError
from rrgbench.interfaces import TrainableEncoder
from rrgbench.planning import study_digest
from rrgbench.runs import private_folder, slug
from rrgbench.specs import Spec
from rrgbench.types import Checkpoint, Study

RECORD = "training.json"


@dataclass(frozen=True)
class Trained:
    """A finished training: its folder, the checkpoint, the record that training.json holds, and the encoder to use."""

    folder: Path
    checkpoint: Checkpoint
    record: Mapping[str, Any]
    spec: Spec


@dataclass(frozen=True)
class Job:
    """What is to be trained, built and checked: an encoder, by a recipe, on a dataset."""

    catalogue: plugins.Catalogue
    config: TrainConfig
    encoder: parts.Part
    dataset: parts.Part
    recipe: Any
    teachers: tuple[parts.Part, ...]

    @property
    def terms(self) -> str:
        """The strictest of the data's, the encoder's and the teachers', which bind the weights too."""
        return governance.strictest([part.terms for part in (self.dataset, self.encoder, *self.teachers)])

    def trained(self, folder: Path, checkpoint: Checkpoint, record: Mapping[str, Any]) -> Trained:
        """What has come of it. Of the encoder's options those stay that are parts: a checkpoint knows the others."""
        asked = Spec.of(self.encoder.spec)
        kept = parts.nested_options(self.catalogue, "encoder", asked)
        return Trained(folder, checkpoint, record, Spec(asked.name, {**kept, "checkpoint": checkpoint.path}))


def train(config: TrainConfig | Mapping[str, Any]) -> Trained:
    """Train an encoder on the ``train`` split of a dataset, choosing on ``validate``. Raises UsageError.

    The same call goes on where a killed one stopped, and gives back a training that has ended. Under `accelerate
    launch` or `torchrun` each process calls it; the first one writes.
    """
    job = prepare(config)
    if lacking := {"train", "validate"} - set(job.dataset.obj.splits):
        raise UsageError(
            f"The dataset {job.dataset.spec} has no split {', '.join(sorted(lacking))}; training needs both."
            " Without splits, cross-validate: --folds 5."
        )
    train, validate = (list(job.dataset.obj.load(split)) for split in ("train", "validate"))
    return fit(job, job.encoder, train, validate, folder_of(job, [*train, *validate]))


def prepare(config: TrainConfig | Mapping[str, Any]) -> Job:
    """The parts and the recipe that a configuration asks for. Raises UsageError."""
    if not isinstance(config, TrainConfig):
        config = check(TrainConfig, config)
    catalogue = plugins.catalogue()
    encoder = parts.build(catalogue, "encoder", config.encoder)
    if not isinstance(encoder.obj, TrainableEncoder):
        raise UsageError(f"The encoder {encoder.name} can't be trained: it has no fit method.")
    dataset = parts.build(catalogue, "dataset", config.dataset)
    governance.check_hosts(dataset.name, dataset.terms, encoder.public, encoder.hosts)
    what = f"training of {encoder.name!r}"
    values, nested = parts.arguments(
        catalogue, what, parts.keywords(encoder.obj.recipe), Spec(encoder.name, config.recipe)
    )
    teachers = tuple(part for built in nested.values() for part in built)
    for teacher in teachers:
        governance.check_hosts(dataset.name, dataset.terms, teacher.public, teacher.hosts)
    return Job(catalogue, config, encoder, dataset, encoder.obj.recipe(**values), teachers)


def folder_of(job: Job, studies: Sequence[Study]) -> Path:
    """Where a training leaves its files: the same for the same encoder, dataset and recipe.

    Of the images it asks the names and not the bytes, which can be hundreds of gigabytes.
    """
    seen = digest(job.dataset.signature, [study_digest(study) for study in studies])
    taught = [teacher.signature for teacher in job.teachers]
    asked = [job.encoder.public, job.encoder.signature, job.config.recipe, taught, job.config.folds]
    folder = job.config.out / slug(job.dataset.name) / f"{slug(job.encoder.name)}-{digest(seen, asked)[:12]}"
    if job.terms == "open":
        folder.mkdir(parents=True, exist_ok=True)
    else:
        private_folder(folder)
    return folder


def fit(job: Job, encoder: parts.Part, train: Sequence[Study], validate: Sequence[Study], folder: Path) -> Trained:
    """Train on these studies in this folder, or give back the training that has ended there."""
    shared = {study.patient_id for study in train} & {study.patient_id for study in validate}
    if shared:
        raise UsageError(f"The dataset {job.dataset.spec} has {len(shared)} patients in train and in validate.")
    if done := _finished(job, folder):
        _say(f"{job.encoder.public} was trained on {job.dataset.public} already, in {folder}")
        return done
    folder.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {
        "encoder": job.encoder.public,
        "dataset": job.dataset.public,
        "dataset_digest": digest([study_digest(study) for study in (*train, *validate)]),
        "terms": job.terms,
        "synthetic": bool(getattr(job.dataset.obj, "synthetic", False)),
        "recipe": job.config.recipe | {"teacher": job.teachers[0].public} if job.teachers else job.config.recipe,
        "studies": {"train": len(train), "validate": len(validate)},
        "versions": provenance.versions(job.encoder.distributions | job.dataset.distributions),
    }
    _say(f"train {job.encoder.public} on {job.dataset.public} ({len(train)} studies) in {folder}")
    started = time.monotonic()
    log = _logger(job.catalogue, folder)
    log({"stage": "started", **record})
    checkpoint = encoder.obj.fit(train, validate, folder, job.recipe, provenance=record, log=log)
    record |= {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - started, 1),
        **asdict(checkpoint),
        "path": Path(checkpoint.path).name,
    }
    if _first_process():
        part = folder / f"{RECORD}.part"
        part.write_text(json.dumps(record, indent=2, default=str) + "\n", encoding="utf-8")
        part.replace(folder / RECORD)
    log({"stage": "finished", "seconds": record["seconds"], **checkpoint.scores})
    return job.trained(folder, checkpoint, record)


def _finished(job: Job, folder: Path) -> Trained | None:
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        path = folder / record["path"]
        if not path.is_file():
            return None
        return job.trained(folder, Checkpoint(str(path), record["scores"], record["history"]), record)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{folder / RECORD} is damaged ({error}): remove the folder, and train again.") from error


def _logger(catalogue: plugins.Catalogue, folder: Path) -> Callable[[Mapping[str, Any]], None]:
    """What an encoder's ``fit`` calls: figures go to the screen and to the plugins that want them."""
    silenced: set[str] = set()

    def log(event: Mapping[str, Any]) -> None:
        if not _first_process():
            return
        if event["stage"] not in ("started", "finished"):
            _show(event)
        for warning in catalogue.call("rrgbench_training_logged", folder=folder, event=event):
            if warning not in silenced:  # once, and not at each of a thousand steps
                progress.say(f"warning: {warning}")
                silenced.add(warning)

    return log


def _show(event: Mapping[str, Any]) -> None:
    """The first few figures of what the encoder logs: the rest is in its history."""
    shown = {k: v for k, v in event.items() if isinstance(v, (str, int, float)) and k not in ("stage", "epochs")}
    words = [f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in list(shown.items())[:4]]
    if skipped := event.get("skipped"):
        words.append(f"skipped {len(skipped)} (the first: {skipped[0]})")
    head = "" if "epoch" in event else f"{event['stage']}: "
    progress.say(head + ", ".join(words))


def _say(message: str) -> None:
    if _first_process():
        progress.say(message)


def _first_process() -> bool:
    """Whether this is the one process, or the first of those that torch's launchers start (they set RANK)."""
    return os.environ.get("RANK", "0") == "0"
