"""``reports``: reports made elsewhere, from a file, scored like any other system's."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import pandas as pd

from rrgbench import tables
from rrgbench.cache import digest, file_digest
from rrgbench.text.reports import as_report
from rrgbench.types import Context, Failure, Report


class ReportsFile:
    """A CSV, JSONL or JSON file with a report a study; ``id`` and ``report`` name the columns."""

    version = "1"
    needs = ()

    def __init__(self, path: Path, id: str = "study_id", report: str = "report") -> None:
        self._setup(tables.read_table(path), str(path), id, report)
        self.signature = f"file:{file_digest(path)[:12]}"

    @classmethod
    def of_reports(cls, frame: pd.DataFrame, source: str) -> ReportsFile:
        """The same from a frame with the columns study_id and report."""
        system = cls.__new__(cls)
        text = tables.as_text(frame, source)
        system._setup(text, source, "study_id", "report")
        system.signature = f"digest:{digest(text.to_dict('list'))[:12]}"
        return system

    def _setup(self, frame: pd.DataFrame, source: str, id: str, report: str) -> None:
        tables.require(frame, source, id=id, report=report)
        self._source = source
        self._texts = {str(study_id): text for study_id, text in tables.by_id(frame, source, id)[report].items()}

    def check(self, study_ids: Collection[str]) -> list[str]:
        """A warning where the file has reports of studies that are not evaluated."""
        others = [study_id for study_id in self._texts if study_id not in study_ids]
        if not others:
            return []
        shown = ", ".join(others[:3]) + (", …" if len(others) > 3 else "")
        return [
            f"{self._source}: {len(others)} reports are of studies that are not evaluated and are left out: {shown}"
        ]

    def generate(self, contexts: Sequence[Context]) -> Iterator[Report | Failure]:
        """The report of each study; a failure where the file has none, or an empty one."""
        for context in contexts:
            text = self._texts.get(context.study_id)
            if text is None:
                yield Failure("missing", f"{self._source} has no report for study {context.study_id}")
            else:
                yield as_report(text)
