"""``findings``: probabilities from a file, so that any classifier made elsewhere can be benchmarked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from rrgbench import tables
from rrgbench.cache import file_digest
from rrgbench.errors import UsageError
from rrgbench.labels import part_of, snake
from rrgbench.thresholds import FittedThresholds, checked
from rrgbench.types import Context, Failure, Finding, Findings, Status, Study, Vocabulary


class FindingsFile:
    """One probability column a label, named prefix + label.

    ``threshold`` is a number, a CSV file with the columns label and threshold, or ``fit``: the best F1 on the
    dataset's validation split or, where it has none, by patient-wise cross-fitting, so that no study is judged by a
    threshold that its own patient helped to fit. A label whose truth the dataset doesn't know keeps 0.5.
    """

    version = "1"
    needs = ()
    cached = False

    def __init__(
        self, path: Path, id: str = "study_id", prefix: str = "", threshold: float | Literal["fit"] | Path = 0.5
    ) -> None:
        frame = tables.by_id(tables.read_table(path), str(path), id)
        columns = [str(c) for c in frame.columns if str(c).startswith(prefix) and str(c) != id]
        if not columns:
            raise UsageError(f"{path}: no column begins with {prefix!r}. There are: {', '.join(frame.columns[:20])}.")
        self._source = str(path)
        names = [column.removeprefix(prefix) for column in columns]
        self.vocabulary = part_of(names) or Vocabulary("findings", tuple(names))
        self._columns = dict(zip(self.vocabulary.labels, _ordered(columns, prefix, self.vocabulary), strict=True))
        self._cells = {str(study_id): row for study_id, row in frame[columns].to_dict("index").items()}
        self._row = {study_id: number for number, study_id in enumerate(self._cells, 1)}
        self.signature = f"file:{file_digest(path)[:12]}"
        self._fitted: FittedThresholds | None = None
        self._fixed: dict[str, float] = {}
        self._fit = threshold == "fit"
        if isinstance(threshold, Path):
            self._fixed = _read_thresholds(threshold, self.vocabulary)
            self.signature += f"|thresholds:{file_digest(threshold)[:12]}"
        elif not self._fit:
            self._fixed = dict.fromkeys(self.vocabulary.labels, checked(float(threshold), "threshold="))

    @property
    def thresholds(self) -> Mapping[str, float]:
        """The thresholds by label. Raises UsageError for fitted ones, which differ from patient to patient."""
        if self._fit:
            raise UsageError(
                f"{self._source}: threshold=fit fits thresholds for each patient apart, so that they can't be averaged"
                " with other encoders'. Leave it out there, and give the ensemble threshold=fit."
            )
        return self._fixed

    def calibrate(self, studies: Sequence[Study]) -> list[str]:
        """Fit thresholds on labelled studies where ``threshold=fit``; returns warnings."""
        if not self._fit:
            return []
        found = {study.study_id: self._probabilities(study.study_id) for study in studies}
        usable = {study_id: p for study_id, p in found.items() if not isinstance(p, Failure)}
        self._fitted = FittedThresholds(self._source, studies, self.vocabulary, usable)
        return self._fitted.warnings

    def encode(self, contexts: Sequence[Context]) -> list[Findings | Failure]:
        """The findings of each study in the file."""
        return [self._findings(context.study_id) for context in contexts]

    def _findings(self, study_id: str) -> Findings | Failure:
        probabilities = self._probabilities(study_id)
        if isinstance(probabilities, Failure):
            return probabilities
        thresholds = self._fitted.of(study_id) if self._fitted else self._fixed
        by_label = {
            label: Finding(label, Status.PRESENT if p >= thresholds.get(label, 0.5) else Status.ABSENT, p)
            for label, p in probabilities.items()
        }
        return Findings(self.vocabulary, by_label)

    def _probabilities(self, study_id: str) -> dict[str, float] | Failure:
        cells = self._cells.get(study_id)
        if cells is None:
            return Failure("findings", f"{self._source} has no row for study {study_id}")
        out = {}
        for label, column in self._columns.items():
            try:
                p = float(cells[column])
            except ValueError:
                p = math.nan
            if not 0.0 <= p <= 1.0:
                where = f"{self._source}, row {self._row[study_id]}, column {column!r}"
                return Failure("findings", f"{where}: {cells[column]!r} is not a probability in 0..1; correct the cell")
            out[label] = p
        return out


def _ordered(columns: Sequence[str], prefix: str, vocabulary: Vocabulary) -> list[str]:
    by_name = {snake(column.removeprefix(prefix)): column for column in columns}
    return [by_name[snake(label)] for label in vocabulary.labels]


def _read_thresholds(path: Path, vocabulary: Vocabulary) -> dict[str, float]:
    frame = tables.read_table(path)
    tables.require(frame, str(path), label="label", threshold="threshold")
    spelt = {snake(label): label for label in vocabulary.labels}
    out = {}
    for number, (name, cell) in enumerate(zip(frame["label"], frame["threshold"], strict=True), 1):
        try:
            label = spelt[snake(name)]
            if label in out:
                raise UsageError(f"{path}, row {number}: {name!r} stands twice.")
            out[label] = checked(float(cell), f"{path}, row {number}: ")
        except KeyError:
            raise UsageError(f"{path}, row {number}: {name!r} is not a label of the probabilities' file.") from None
        except ValueError:
            raise UsageError(f"{path}, row {number}: {cell!r} is not a number.") from None
    if lacking := [label for label in vocabulary.labels if label not in out]:
        raise UsageError(f"{path}: no threshold for {', '.join(lacking)}.")
    return out
