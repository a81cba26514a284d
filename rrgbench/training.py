"""`rrgbench train`: an encoder's own ``fit`` on a dataset's splits, with a record of what was done."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Mapping
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
from rrgbench.types import Checkpoint

_GIVEN = ("train", "validate", "folder", "provenance", "log")  # what the core passes to fit; the rest is the recipe


@dataclass(frozen=True)
class Trained:
    """A finished training: its folder, the checkpoint and the record that training.json holds."""

    folder: Path
    checkpoint: Checkpoint
    record: Mapping[str, Any]


def train(config: TrainConfig | Mapping[str, Any]) -> Trained:
    """Train an encoder on the ``train`` split of a dataset, choosing on ``validate``. Raises UsageError."""
    if not isinstance(config, TrainConfig):
        config = check(TrainConfig, config)
    catalogue = plugins.catalogue()
    encoder = parts.build(catalogue, "encoder", config.encoder)
    if not isinstance(encoder.obj, TrainableEncoder):
        raise UsageError(f"The encoder {encoder.name} can't be trained: it has no fit method.")
    dataset = parts.build(catalogue, "dataset", config.dataset)
    governance.check_hosts(dataset.name, dataset.terms, encoder.public, encoder.hosts)
    if lacking := {"train", "validate"} - set(dataset.obj.splits):
        raise UsageError(f"The dataset {dataset.spec} has no split {', '.join(sorted(lacking))}; training needs both.")
    recipe = _recipe(encoder, config.recipe)
    train, validate = (list(dataset.obj.load(split)) for split in ("train", "validate"))
    shared = {study.patient_id for study in train} & {study.patient_id for study in validate}
    if shared:
        raise UsageError(f"The dataset {dataset.spec} has {len(shared)} patients in train and in validate.")
    record: dict[str, Any] = {
        "encoder": encoder.spec,
        "dataset": dataset.spec,
        "dataset_digest": digest([study_digest(study) for study in (*train, *validate)]),
        "terms": dataset.terms,
        "synthetic": bool(getattr(dataset.obj, "synthetic", False)),
        "recipe": config.recipe,
        "studies": {"train": len(train), "validate": len(validate)},
        "versions": provenance.versions({encoder.distribution, dataset.distribution}),
    }
    name = f"{slug(encoder.name)}-{digest(encoder.spec, record['dataset_digest'], config.recipe)[:12]}"
    folder = config.out / slug(dataset.name) / name
    folder.mkdir(parents=True, exist_ok=True)
    if dataset.terms != "open":
        private_folder(folder)
    progress.say(f"train {encoder.spec} on {dataset.spec} ({len(train)} studies) in {folder}")
    started = time.monotonic()
    checkpoint = encoder.obj.fit(train, validate, folder, **recipe, provenance=record, log=_say)
    record |= {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - started, 1),
        **asdict(checkpoint),
    }
    (folder / "training.json").write_text(json.dumps(record, indent=2, default=str) + "\n", encoding="utf-8")
    return Trained(folder, checkpoint, record)


def _say(event: Mapping[str, Any]) -> None:
    """The first few figures of what the encoder logs: the rest is in its history."""
    shown = {key: value for key, value in event.items() if isinstance(value, (str, int, float))}
    words = [f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in list(shown.items())[:5]]
    if skipped := event.get("skipped"):
        words.append(f"skipped {len(skipped)} (the first: {skipped[0]})")
    progress.say(", ".join(words))


def _recipe(encoder: parts.Part, given: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe, checked and coerced against the arguments of the encoder's fit."""
    declared = [option for option in parts.keywords(encoder.obj.fit) if option.name not in _GIVEN]
    what = f"training of {encoder.name!r}"
    parts.check_known(what, given, declared)
    return {o.name: parts.coerce(what, o, given[o.name]) for o in declared if o.name in given}
