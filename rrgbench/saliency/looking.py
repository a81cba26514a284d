"""Go over a dataset's studies with one or several encoders; measure, keep and show where each of them looks."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rrgbench import governance, parts, planning, plugins, progress
from rrgbench.cache import digest
from rrgbench.errors import UsageError
from rrgbench.leaderboard.building import write_page
from rrgbench.parts import Part
from rrgbench.runs import private_folder, slug
from rrgbench.saliency.gallery import Gallery
from rrgbench.saliency.looker import Looker, Seen
from rrgbench.saliency.measures import Map
from rrgbench.saliency.page import page
from rrgbench.saliency.results import Case, Saliency, scores

BATCH = 32  # studies at a time: maps must not pile up
RESAMPLES = 1000


def saliency(
    encoders: Sequence[Any],
    dataset: Any = "phantom",
    *,
    split: str | None = None,
    limit: int | None = None,
    labels: Sequence[str] = (),
    method: str = "grad-cam",
    out: Path | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Saliency:
    """Where encoders look in the images of a split (``test`` where there is one), measured against boxes.

    A map is made of each label that the truth has boxes of, and of each that the encoder calls present; of ``labels``
    alone, where some are named. ``out``, a new or empty folder, gets the maps, the figures and a page that shows them.
    It holds images and study ids, so it is its owner's alone where the data is not open. Raises UsageError.
    """
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is not an empty folder. Choose another --out, so that nothing of before is among it.")
    catalogue = plugins.catalogue()
    data = parts.build(catalogue, "dataset", dataset)
    built = {part.spec: part for part in (parts.build(catalogue, "encoder", spec) for spec in encoders)}
    if not built:
        raise UsageError("Name an encoder, such as vit.")
    terms = governance.strictest([data.terms, *(part.terms for part in built.values())])
    for part in built.values():
        governance.check_hosts(data.name, terms, part.public, part.hosts)
    lookers = [
        Looker(part, name, labels, method) for part, name in zip(built.values(), _names(built.values()), strict=True)
    ]
    split, studies = planning.select(data, split, limit)
    fitted = [note for part in built.values() for note in planning.prepare({"dataset": data, "encoder": part}, studies)]
    if out is not None and terms != "open":
        private_folder(out)
    gallery = Gallery()
    with progress.stage("look", len(studies)) as advance:
        for start in range(0, len(studies), BATCH):
            batch = studies[start : start + BATCH]
            seen = [looker.look(batch) for looker in lookers]
            if out is not None:
                for study, *sights in zip(batch, *seen, strict=True):
                    gallery.add(study, sights)
                    for looker, sight in zip(lookers, sights, strict=True):
                        _write_maps(out / "maps" / file_name(looker.name), study.study_id, sight)
            advance(len(batch))
    found = Saliency(
        encoders={looker.name: looker.part.signature for looker in lookers},
        dataset=data.public,
        split=split,
        method=method,
        terms=terms,
        synthetic=bool(getattr(data.obj, "synthetic", False)),
        n=len(studies),
        cases=tuple(case for looker in lookers for case in looker.cases),
        scores=tuple(
            score for looker in lookers for score in scores(looker.cases, list(looker.assessed), resamples, seed)
        ),
        failures={looker.name: looker.failures for looker in lookers},
        notes=(*fitted, *(note for looker in lookers if (note := looker.note()))),
    )
    if out is not None:
        _write(out, found, gallery)
    return found


def _names(encoders: Iterable[Part]) -> list[str]:
    """A name for each: its spec, numbered where files of one name lie in different folders."""
    names: list[str] = []
    for encoder in encoders:
        same = sum(name == encoder.public or name.startswith(f"{encoder.public} (") for name in names)
        names.append(f"{encoder.public} ({same + 1})" if same else encoder.public)
    return names


def _write_maps(folder: Path, study_id: str, sight: Sequence[Seen]) -> None:
    """The maps of one study by one encoder, an array a label: 0 to 255, of which 255 is the map's maximum."""
    if sight:
        folder.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {seen.case.label: _levels(seen.map) for seen in sight}
        np.savez_compressed(folder / f"{file_name(study_id)}.npz", **arrays)


def _levels(found: Map) -> npt.NDArray[np.uint8]:
    levels: npt.NDArray[np.uint8] = np.rint(found / (found.max() or 1) * 255).astype(np.uint8)
    return levels


def file_name(of: str) -> str:
    """A study's id, or an encoder's name, as a file name of its own."""
    name = slug(of)
    return name if name == of else f"{name}-{digest(of)[:8]}"


def _write(out: Path, found: Saliency, gallery: Gallery) -> None:
    out.mkdir(parents=True, exist_ok=True)
    found.frame().to_csv(out / "saliency.csv", index=False)
    record = json.dumps(found.record(), indent=2, ensure_ascii=False, allow_nan=False)
    (out / "saliency.json").write_text(record + "\n", encoding="utf-8")
    with (out / "cases.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [each.name for each in fields(Case)])
        writer.writeheader()
        writer.writerows(asdict(case) for case in found.cases)
    write_page(out / "index.html", page(found, gallery))
