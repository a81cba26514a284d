"""``table``: studies from a CSV, JSONL or JSON file of the user's own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from rrgbench import images, tables
from rrgbench.cache import digest, file_digest
from rrgbench.datasets import table_boxes
from rrgbench.datasets.official import Sections
from rrgbench.datasets.table_columns import Columns, label_columns, one_row_a_study, pieces, priors, section_columns
from rrgbench.errors import UsageError
from rrgbench.labels import snake
from rrgbench.protocols import FRONTAL
from rrgbench.text.reports import as_report
from rrgbench.types import Box, Finding, Findings, Image, Status, Study, Vocabulary

BLOCK = 10_000  # rows that are looked up at a time

Row = Mapping[str, str]


class Table:
    """One row a study, or one row an image.

    ``id``, ``image``, ``patient``, ``labels``, ``report``, ``split``, ``view`` and ``prior`` name columns. ``image`` is
    relative to the file's folder. A study of several images has their names in one cell, separated by ``|``, or a row
    for each (whatever else the rows say must agree or be blank); ``view`` is written likewise. ``labels`` is a column
    of ``|``-separated names (what is not named is absent, a blank cell is an unlabelled study), or the prefix of one
    column a label with 1, 0, -1 (uncertain) or blank (not mentioned). ``sections``, instead of ``report``, is the
    prefix of one column a section: findings, impression, indication, history, technique, comparison. ``prior`` holds
    the id of the same patient's study before. ``demographics`` is a list of columns; numbers are read as such.
    ``boxes`` is a column of ``label,x,y,width,height;…`` in the first frontal image, from its upper left, in units of
    which it is ``box_grid`` wide and high (1: fractions); only labels that are present may have some.
    Without ``patient`` each study is a patient of its own. ``vocabulary`` is ``chexpert`` or ``nih``; without it, the
    one that knows all labels found, else the labels found. ``terms``: open, private or credentialed.
    """

    version = "1"

    def __init__(
        self,
        path: Path,
        id: str = "study_id",
        image: str | None = None,
        patient: str | None = None,
        labels: str | None = None,
        report: str | None = None,
        split: str | None = None,
        view: str | None = None,
        vocabulary: str | None = None,
        terms: str = "private",
        sections: str | None = None,
        prior: str | None = None,
        demographics: list[str] | None = None,
        boxes: str | None = None,
        box_grid: float = 1.0,
    ) -> None:
        self.terms = terms
        self._folder, source = path.parent, str(path)
        frame = tables.read_table(path)
        named = {"image": image, "patient": patient, "report": report, "split": split, "view": view, "prior": prior}
        tables.require(frame, source, id=id, **named)
        for column in demographics or ():
            tables.require(frame, source, demographics=column)
        tables.require(frame, source, boxes=boxes)
        if report is not None and sections is not None:
            raise UsageError(f"{source}: report= and sections= both say what the report is; leave one of them out.")
        self.vocabulary, listed, by_label = label_columns(frame, source, labels, vocabulary)
        if boxes is not None:
            table_boxes.check(frame, source, boxes, self.vocabulary, box_grid)
        columns = Columns(
            id,
            **named,
            demographics=tuple(demographics or ()),
            sections={} if sections is None else section_columns(frame, source, sections),
            listed=listed,
            labels=by_label,
            boxes=boxes,
            box_grid=box_grid,
        )
        self._setup(frame, source, file_digest(path), columns)

    @classmethod
    def of_reports(cls, frame: pd.DataFrame, source: str) -> Table:
        """Reference reports alone, from a frame with the columns study_id, report and perhaps patient_id."""
        table = cls.__new__(cls)
        table.terms = "private"
        table._folder = Path()
        table.vocabulary = Vocabulary("none", ())
        text = tables.as_text(frame, source)
        tables.require(text, source, id="study_id", report="report")
        patient = "patient_id" if "patient_id" in text.columns else None
        table._setup(text, source, digest(text.to_dict("list")), Columns(patient=patient, report="report"))
        return table

    def _setup(self, frame: pd.DataFrame, source: str, file: str, columns: Columns) -> None:
        self._source, self._columns = source, columns
        self._rows, self._places = one_row_a_study(frame, source, columns)
        self._before = priors(self._rows, self._places, source, columns)
        if columns.boxes:
            for _, place, row in self._records(np.flatnonzero(self._rows[columns.boxes].str.strip())):
                table_boxes.check_present(self._boxes(row), self._findings(row), f"{source}, {place}")
        self.signature = f"file:{file[:12]}"
        found = list(self._rows[columns.split].str.strip().unique()) if columns.split else []
        self.splits: tuple[str, ...] = tuple(name for name in found if name)

    def load(self, split: str | None) -> Iterable[Study]:
        """The studies of a split in the order of the file."""
        return self._studies(split)

    def _studies(self, split: str | None) -> Iterator[Study]:
        wanted = np.arange(len(self._rows))
        if split is not None:
            column = self._columns.split
            wanted = np.flatnonzero(self._rows[column].str.strip().eq(split)) if column else wanted[:0]
        for start in range(0, len(wanted), BLOCK):
            block = wanted[start : start + BLOCK]
            before = self._before[block]
            earlier = before[before >= 0]
            prior = dict(zip(earlier, self._records(earlier), strict=True))
            for at, record in zip(before, self._records(block), strict=True):
                yield self._study(*record, prior=self._study(*prior[at]) if at >= 0 else None)

    def _records(self, positions: npt.NDArray[np.intp]) -> list[tuple[str, str, Row]]:
        """Of these rows: the study's id, the place in the file, and the cells by column."""
        rows = self._rows.iloc[positions]
        cells = zip(*(rows[column].tolist() for column in rows.columns), strict=True) if len(rows.columns) else ()
        found = [dict(zip(rows.columns, each, strict=True)) for each in cells] or [{} for _ in positions]
        return list(zip(rows.index.tolist(), self._places.iloc[positions].tolist(), found, strict=True))

    def _study(self, study_id: str, place: str, row: Row, prior: Study | None = None) -> Study:
        names = self._columns
        report = row[names.report] if names.report else ""
        told = {section: row[column].strip() for section, column in names.sections.items()}
        return Study(
            study_id=study_id,
            patient_id=(row[names.patient].strip() if names.patient else "") or study_id,
            split=row[names.split].strip() or None if names.split else None,
            images=self._images(row, place),
            sections=Sections(partial(_parsed, report)) if report.strip() else {s: t for s, t in told.items() if t},
            labels=self._findings(row),
            demographics={name: _value(cell) for name in names.demographics if (cell := row[name].strip())},
            prior=prior,
        )

    def _images(self, row: Row, place: str) -> tuple[Image, ...]:
        """The images of a row, the frontal ones first."""
        files = pieces(row[self._columns.image]) if self._columns.image else []
        views = pieces(row[self._columns.view]) if self._columns.view and files else []
        found = [
            images.from_file(self._folder, name, view.upper() or None, f"{self._source}, {place}")
            for name, view in zip(files, views or [""] * len(files), strict=True)
            if name
        ]
        return tuple(sorted(found, key=lambda image: image.view not in FRONTAL))

    def _findings(self, row: Row) -> Findings | None:
        if self._columns.listed:
            present = {snake(name) for name in pieces(row[self._columns.listed]) if name}
            statuses = {x: Status.PRESENT if snake(x) in present else Status.ABSENT for x in self.vocabulary.labels}
            return self._as_findings(statuses, row) if present else None
        statuses = {label: tables.LABEL_CELLS[row[column].strip()] for label, column in self._columns.labels.items()}
        said = {label: status for label, status in statuses.items() if status is not Status.NOT_MENTIONED}
        return self._as_findings(said, row) if said else None

    def _as_findings(self, statuses: Mapping[str, Status], row: Row) -> Findings:
        places = self._boxes(row)
        found = {label: Finding(label, status, boxes=places.get(label, ())) for label, status in statuses.items()}
        return Findings(self.vocabulary, found)

    def _boxes(self, row: Row) -> dict[str, tuple[Box, ...]]:
        column = self._columns.boxes
        return table_boxes.boxes(row[column], self.vocabulary, self._columns.box_grid) if column else {}


def _parsed(text: str) -> dict[str, str]:
    """A report by section where it has headers, else whole."""
    report = as_report(text)
    return dict(report.sections) or {"report": report.text}


def _value(cell: str) -> str | float:
    """A cell of a demographics column: a number where it is one."""
    try:
        return number if math.isfinite(number := float(cell)) else cell
    except ValueError:
        return cell
