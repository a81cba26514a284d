"""``reports``: reports made elsewhere, from a file, scored like any other system's."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from rrgbench import tables
from rrgbench.cache import digest, file_digest
from rrgbench.text.reports import as_report
from rrgbench.types import Context, Failure, Report


class ReportsFile:
    """A CSV, JSONL or JSON file with a report a study; ``id`` and ``report`` name the columns.

    A file with a column ``image_id`` has a report an image: protocols that count images score each against its own
    study, the others the first image's. What led to a report may stand in a column ``reasoning``. ``terms``: open,
    private or credentialed.
    """

    version = "1"
    needs = ()
    neutral = ("terms",)

    def __init__(self, path: Path, id: str = "study_id", report: str = "report", terms: str = "private") -> None:
        self.terms = terms
        self._setup(tables.read_table(path), str(path), id, report)
        self.signature = f"file:{file_digest(path)[:12]}"

    @classmethod
    def of_reports(cls, frame: pd.DataFrame, source: str, terms: str = "private") -> ReportsFile:
        """The same from a frame with the columns study_id and report."""
        system = cls.__new__(cls)
        system.terms = terms
        text = tables.as_text(frame, source)
        system._setup(text, source, "study_id", "report")
        system.signature = f"digest:{digest(text.to_dict('list'))[:12]}"
        return system

    def _setup(self, frame: pd.DataFrame, source: str, id: str, report: str) -> None:
        self._by_image = "image_id" in frame.columns
        tables.require(frame, source, report=report)
        by_id = tables.by_id(frame, source, "image_id" if self._by_image else id)
        self._source = source
        self._texts = {str(key): text for key, text in by_id[report].items()}
        self._reasoning = by_id["reasoning"].to_dict() if "reasoning" in by_id else {}

    def check(self, ids: Collection[str]) -> list[str]:
        """A warning where the file has reports of studies (or images) that are not evaluated."""
        others = [key for key in self._texts if key not in ids]
        if not others:
            return []
        what = "images" if self._by_image else "studies"
        shown = ", ".join(others[:3]) + (", …" if len(others) > 3 else "")
        said = f"{self._source}: {len(others)} reports are of {what} that are not evaluated and are left out: {shown}"
        if len(others) == len(self._texts):
            by = "image_id, so its reports are looked up by image" if self._by_image else "study_id"
            said += f" (none matches: the file goes by {by}; an evaluated id reads {min(ids, default='…')!r})"
        return [said]

    def generate(self, contexts: Sequence[Context]) -> Iterator[Report | Failure]:
        """The report of each study; a failure where the file has none, or an empty one."""
        for context in contexts:
            keys = context.image_ids if self._by_image else (context.study_id,)
            texts = {key: self._texts[key] for key in keys if key in self._texts}
            if not texts:
                yield Failure("missing", f"{self._source} has no report for study {context.study_id}")
                continue
            key, text = next(((key, text) for key, text in texts.items() if text.strip()), ("", ""))
            by_image = texts if self._by_image else {}
            yield replace(as_report(text), by_image=by_image, reasoning=self._reasoning.get(key) or None)
