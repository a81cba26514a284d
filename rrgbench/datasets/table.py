"""``table``: studies from a CSV, JSONL or JSON file of the user's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd

from rrgbench import images, tables
from rrgbench.cache import digest, file_digest
from rrgbench.errors import UsageError, did_you_mean
from rrgbench.labels import NO_FINDING, VOCABULARIES, snake
from rrgbench.text.reports import as_report
from rrgbench.types import Finding, Findings, Status, Study, Vocabulary


class Table:
    """One row a study.

    ``id``, ``image``, ``patient``, ``labels``, ``report``, ``split`` and ``view`` name columns. ``image`` is relative
    to the file's folder. ``labels`` is a column of ``|``-separated names (what is not named is absent, a blank cell is
    an unlabelled study), or the prefix of one column a label with 1, 0, -1 (uncertain) or blank (not mentioned).
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
    ) -> None:
        self.terms = terms
        self._folder = path.parent
        self._setup(tables.read_table(path), str(path), file_digest(path), id, patient, report, split)
        tables.require(self._rows, str(path), image=image, view=view)
        self._image, self._view = image, view
        self.vocabulary, self._labels = self._read_labels(labels, vocabulary)

    @classmethod
    def of_reports(cls, frame: pd.DataFrame, source: str) -> Table:
        """Reference reports alone, from a frame with the columns study_id, report and perhaps patient_id."""
        table = cls.__new__(cls)
        table.terms = "private"
        table._folder = Path()
        patient = "patient_id" if "patient_id" in frame.columns else None
        text = tables.as_text(frame, source)
        table._setup(text, source, digest(text.to_dict("list")), "study_id", patient, "report", None)
        table._image = table._view = None
        table.vocabulary, table._labels = Vocabulary("none", ()), {}
        return table

    def _setup(
        self,
        frame: pd.DataFrame,
        source: str,
        file: str,
        id: str,
        patient: str | None,
        report: str | None,
        split: str | None,
    ) -> None:
        tables.require(frame, source, id=id, patient=patient, report=report, split=split)
        self._source = source
        self._rows = tables.by_id(frame, source, id)
        self._patient, self._report, self._split = patient, report, split
        self.signature = f"file:{file[:12]}"
        found = list(dict.fromkeys(self._rows[split].str.strip())) if split else []
        self.splits: tuple[str, ...] = tuple(name for name in found if name)

    def load(self, split: str | None) -> Iterable[Study]:
        """The studies of a split in the order of the file."""
        return self._studies(split)

    def _studies(self, split: str | None) -> Iterator[Study]:
        for number, (study_id, row) in enumerate(self._rows.iterrows(), 1):
            its_split = row[self._split].strip() or None if self._split else None
            if split is not None and its_split != split:
                continue
            where = f"{self._source}, row {number}"
            image = row[self._image].strip() if self._image else ""
            view = row[self._view].strip().upper() or None if self._view else None
            yield Study(
                study_id=str(study_id),
                patient_id=(row[self._patient].strip() if self._patient else "") or str(study_id),
                split=its_split,
                images=(images.from_file(self._folder, image, view, where),) if image else (),
                sections=_sections(row[self._report]) if self._report else {},
                labels=self._labels.get(str(study_id)),
            )

    def _read_labels(self, labels: str | None, vocabulary: str | None) -> tuple[Vocabulary, dict[str, Findings]]:
        if labels is None:
            return Vocabulary("none", ()), {}
        if labels in self._rows.columns:
            listed = {
                str(study_id): [name.strip() for name in cell.split("|") if name.strip()]
                for study_id, cell in self._rows[labels].items()
            }
            known = self._vocabulary(sorted({n for names in listed.values() for n in names}), vocabulary)
            return known, {i: _from_list(names, known) for i, names in listed.items() if names}
        columns = [str(c) for c in self._rows.columns if str(c).startswith(labels)]
        if not columns:
            tables.require(self._rows, self._source, labels=labels)
        known = self._vocabulary([column.removeprefix(labels) for column in columns], vocabulary)
        spelt = {snake(label): label for label in known.labels}
        found: dict[str, dict[str, Finding]] = {}
        for column in columns:
            label = spelt.get(snake(column.removeprefix(labels)))
            if label is None:  # "No Finding" in a vocabulary that has no such label: the others say it
                continue
            for number, (study_id, cell) in enumerate(self._rows[column].items(), 1):
                status = tables.label_cell(cell, self._source, number, column)
                if status is not Status.NOT_MENTIONED:
                    found.setdefault(str(study_id), {})[label] = Finding(label, status)
        return known, {study_id: Findings(known, by_label) for study_id, by_label in found.items()}

    def _vocabulary(self, found: Sequence[str], name: str | None) -> Vocabulary:
        """The vocabulary asked for, or the known one that has every label found, or the labels found."""
        if name is not None and name not in VOCABULARIES:
            known = ", ".join(VOCABULARIES)
            raise UsageError(f"There is no vocabulary {name!r}.{did_you_mean(name, VOCABULARIES)} There are: {known}.")
        for vocabulary in [VOCABULARIES[name]] if name else VOCABULARIES.values():
            spelt = {snake(label) for label in (*vocabulary.labels, NO_FINDING)}
            unknown = [label for label in found if snake(label) not in spelt]
            if not unknown:
                return vocabulary
            if name:
                hint = did_you_mean(unknown[0], vocabulary.labels)
                raise UsageError(f"{self._source}: the vocabulary {name} has no label {unknown[0]!r}.{hint}")
        for vocabulary in VOCABULARIES.values():
            unknown = [label for label in found if snake(label) not in map(snake, (*vocabulary.labels, NO_FINDING))]
            hints = [(label, hint) for label in unknown if (hint := did_you_mean(label, vocabulary.labels, cutoff=0.8))]
            if hints and len(unknown) <= len(found) / 2:  # one slip must not make a vocabulary of its own
                raise UsageError(f"{self._source}: {hints[0][0]!r} is no label of {vocabulary.name}.{hints[0][1]}")
        return Vocabulary("table", tuple(label for label in found if snake(label) != snake(NO_FINDING)))


def _from_list(names: Sequence[str], vocabulary: Vocabulary) -> Findings:
    present = {snake(name) for name in names}
    return Findings(
        vocabulary,
        {
            label: Finding(label, Status.PRESENT if snake(label) in present else Status.ABSENT)
            for label in vocabulary.labels
        },
    )


def _sections(text: str) -> dict[str, str]:
    """A report by section where it has headers, else whole; an empty report has no section at all."""
    if not text.strip():
        return {}
    report = as_report(text)
    return dict(report.sections) or {"report": report.text}
