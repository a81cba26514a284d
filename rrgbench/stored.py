"""Finished runs, read back: their scores, and the rows from which any score can be reduced again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from rrgbench import plugins
from rrgbench.errors import RunError, UsageError
from rrgbench.parts import Part, build, load_class
from rrgbench.runs import RunFolder, score_of
from rrgbench.specs import Spec
from rrgbench.types import Score


@dataclass(frozen=True)
class Scored:
    """One metric's rows under one protocol: a row a unit that was scored, indexed by study_id and image_id."""

    spec: str
    protocol: str
    rows: pd.DataFrame
    replies: Path | None = None  # what judges replied in this run

    @cached_property
    def part(self) -> Part:
        """The metric itself, to reduce the rows with. Raises UsageError where it can't be built here.

        A judge needs its language model no more: it is built with its recorded replies.
        """
        catalogue, spec = plugins.catalogue(), Spec.of(self.spec)
        if (
            self.replies
            and "judge" in spec.options
            and hasattr(load_class(catalogue.entry("metric", spec.name)), "row")
        ):
            kept = {name: value for name, value in spec.options.items() if name not in ("judge", "repeat")}
            spec = Spec(spec.name, {**kept, "replies": str(self.replies)})
        return build(catalogue, "metric", spec)


@dataclass(frozen=True)
class StoredRun:
    """A run folder that holds scores."""

    folder: Path
    manifest: Mapping[str, Any]
    summary: Mapping[str, Any]  # scores.json
    frame: pd.DataFrame  # rows.parquet, indexed by study_id and image_id (blank: the unit is the study)

    @property
    def name(self) -> str:
        """The system, as pages call it."""
        return str(self.summary["system"])

    @property
    def scores(self) -> tuple[Score, ...]:
        """What scores.json holds."""
        return tuple(score_of(record) for record in self.summary["scores"])

    @property
    def patients(self) -> pd.Series[str]:
        """The patient of each unit, indexed as the rows are."""
        return self.frame["patient_id"]

    @cached_property
    def scored(self) -> dict[tuple[str, str], Scored]:
        """Each metric's rows by its spec and the protocol, of the units that it could score."""
        columns: dict[tuple[str, str], dict[str, str]] = {}
        for name in self.frame.columns:
            head, slash, column = str(name).rpartition("/")
            spec, at, protocol = head.rpartition("@")
            if slash and at:
                columns.setdefault((spec, protocol), {})[str(name)] = column
        replies = self.folder / "replies.jsonl"
        return {
            key: Scored(
                *key,
                self.frame[list(names)].rename(columns=names).dropna(how="all"),
                replies if replies.exists() else None,
            )
            for key, names in columns.items()
        }


def read(folder: Path) -> StoredRun:
    """The run of a folder. Raises UsageError where it holds no scores."""
    with RunFolder.existing(folder) as run:
        manifest, summary = run.read_json("manifest.json"), run.read_json("scores.json")
        if manifest is None or summary is None or not (folder / "rows.parquet").exists():
            raise UsageError(f"{folder} holds no finished run: it has no scores.json with its rows.parquet.")
        frame = run.read_frame("rows.parquet")
    if "image_id" not in frame:  # a folder of before protocols could count images
        frame["image_id"] = ""
    if not {"study_id", "patient_id"} <= set(frame.columns):
        raise RunError(f"{folder / 'rows.parquet'} is damaged: it has no study_id or no patient_id.")
    return StoredRun(folder, manifest, summary, frame.set_index(["study_id", "image_id"]))
