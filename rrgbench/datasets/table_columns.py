"""What the columns of a ``table`` mean, checked once before a study is made of any row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from rrgbench import quoting, tables
from rrgbench.errors import UsageError, did_you_mean
from rrgbench.labels import NO_FINDING, VOCABULARIES, snake
from rrgbench.types import Vocabulary

SECTIONS = ("findings", "impression", "indication", "history", "technique", "comparison")
LONGEST_LABEL = 80  # characters; labels are printed and stored, and a column of reports must not pass for them


@dataclass(frozen=True)
class Columns:
    """The names of a table's columns: those of the options, a column a section, and a column a label or one for all."""

    id: str = "study_id"
    image: str | None = None
    patient: str | None = None
    report: str | None = None
    split: str | None = None
    view: str | None = None
    prior: str | None = None
    demographics: tuple[str, ...] = ()
    sections: Mapping[str, str] = field(default_factory=dict)  # by section
    listed: str | None = None  # of all labels
    labels: Mapping[str, str] = field(default_factory=dict)  # by label
    boxes: str | None = None
    box_grid: float = 1.0

    def used(self) -> list[str]:
        """Each of them once, but for the id's."""
        single = (self.image, self.patient, self.report, self.split, self.view, self.prior, self.listed, self.boxes)
        several = (*self.demographics, *self.sections.values(), *self.labels.values())
        return list(dict.fromkeys(column for column in (*single, *several) if column is not None))

    def texts(self) -> list[str]:
        """Those that hold reports."""
        return [column for column in (self.report, *self.sections.values()) if column is not None]


def one_row_a_study(frame: pd.DataFrame, source: str, columns: Columns) -> tuple[pd.DataFrame, pd.Series[str]]:
    """The columns that are used, by the study's id, and from which row or rows each study comes.

    Raises UsageError for an id that stands twice without an image of its own, and for rows that contradict each other.
    """
    used = frame[columns.used()]
    tables.require_short(frame, source, [columns.id, *used.columns])
    places = pd.Series([f"row {row}" for row in range(1, len(frame) + 1)])
    if columns.image is None:
        return tables.by_id(frame, source, columns.id)[used.columns], places
    ids = tables.ids(frame, source, columns.id)
    joined = {columns.image: used[columns.image].str.strip()}
    more = joined[columns.image].str.count(r"\|")  # images but for the first
    if columns.view:
        views = used[columns.view].str.strip()
        if (wrong := views.ne("") & views.str.count(r"\|").ne(more)).any():
            row = tables.row_of(wrong)
            raise UsageError(
                f"{source}, row {row}: {more.iloc[row - 1] + 1} images, and {quoting.cell(views.iloc[row - 1])} in the"
                f" column {columns.view!r}; write a view for each, separated by |, or none."
            )
        joined[columns.view] = views.where(views.ne(""), more.map(lambda n: "|" * n))
    used = used.assign(**joined)
    again = ids.duplicated(keep=False)
    if (imageless := again & used[columns.image].eq("")).any():
        row = tables.row_of(imageless)
        raise UsageError(
            f"{source}, row {row}: other rows have the id {quoting.name(ids.iloc[row - 1])}, too, so that each needs an"
            f" image of its own in the column {columns.image!r}; name it or remove the row."
        )
    if again.any():
        used = tables.merged(used, source, ids, joined, columns.texts())
        places = tables.merged(places.to_frame("place"), source, ids, ("place",))["place"].str.replace("|", ", ")
    else:
        used = used.set_index(ids)
    listed = used[columns.image]
    for study_id, cell in listed[listed.str.contains("|", regex=False)].items():
        names = [name for name in pieces(cell) if name]
        if twice := [name for at, name in enumerate(names) if name in names[:at]]:
            shown = quoting.name(twice[0])
            raise UsageError(
                f"{source}: the study {quoting.name(str(study_id))} has the image {shown} twice; remove one."
            )
    return used, places


def priors(rows: pd.DataFrame, places: pd.Series[str], source: str, columns: Columns) -> npt.NDArray[np.intp]:
    """At which row each study's prior is; -1 where it has none. Raises UsageError for one that can't be."""
    if columns.prior is None:
        return np.full(len(rows), -1)
    named = rows[columns.prior].str.strip()
    before = rows.index.get_indexer(pd.Index(named))
    if (lost := named.ne("").to_numpy() & (before < 0)).any():
        at = int(lost.argmax())
        raise UsageError(
            f"{source}, {places.iloc[at]}: the prior study {quoting.name(named.iloc[at])} is not in the table; add it,"
            " or leave the cell blank."
        )
    if columns.patient:
        patients = rows[columns.patient].str.strip().to_numpy()
        if (other := (before >= 0) & (patients != patients[before])).any():
            at = int(other.argmax())
            shown = quoting.name(named.iloc[at])
            raise UsageError(f"{source}, {places.iloc[at]}: the prior study {shown} is another patient's.")
    follow, done = before.tolist(), (before < 0).tolist()
    for start in range(len(follow)):
        at, path = start, set[int]()
        while not done[at] and at not in path:
            path.add(at)
            at = follow[at]
        if not done[at]:
            raise UsageError(
                f"{source}, {places.iloc[at]}: from the prior study of {quoting.name(rows.index[at])} to its prior and"
                " so on one comes back to the same study; a prior study is an earlier one."
            )
        for at in path:
            done[at] = True
    return before


def section_columns(frame: pd.DataFrame, source: str, prefix: str) -> dict[str, str]:
    """The column of each section. Raises UsageError where there is none, and for one that is likely misspelt."""
    found = {section: prefix + section for section in SECTIONS if prefix + section in frame.columns}
    for column in frame.columns if prefix else ():
        name = column.removeprefix(prefix)
        if column.startswith(prefix) and name not in SECTIONS and (hint := did_you_mean(name, SECTIONS, cutoff=0.8)):
            raise UsageError(f"{source}: there is no section {name!r} (column {column!r}).{hint}")
    if not found:
        tables.require(frame, source, sections=f"{prefix}findings")
    return found


def label_columns(
    frame: pd.DataFrame, source: str, labels: str | None, vocabulary: str | None
) -> tuple[Vocabulary, str | None, dict[str, str]]:
    """The vocabulary, and the column that lists labels or the column of each label. Every cell is checked."""
    if labels is None:
        return Vocabulary("none", ()), None, {}
    if labels in frame.columns:
        names = {name for cell in frame[labels].unique() for name in pieces(cell) if name}
        if long := [name for name in names if len(name) > LONGEST_LABEL]:
            raise UsageError(
                f"{source}, column {labels!r}: {quoting.cell(long[0])} is no label's name; which column lists labels,"
                " separated by |?"
            )
        return _vocabulary(sorted(names), source, vocabulary), labels, {}
    columns = [column for column in frame.columns if column.startswith(labels)]
    if not columns:
        tables.require(frame, source, labels=labels)
    known = _vocabulary([column.removeprefix(labels) for column in columns], source, vocabulary)
    spelt = {snake(label): label for label in known.labels}
    found: dict[str, str] = {}
    for column in columns:
        label = spelt.get(snake(column.removeprefix(labels)))
        if label is None:  # "No Finding" in a vocabulary that has no such label: the others say it
            continue
        if label in found:
            raise UsageError(f"{source}: the columns {found[label]!r} and {column!r} are the same label; remove one.")
        found[label] = column
        for cell in frame[column].unique():
            if cell.strip() not in tables.LABEL_CELLS:
                tables.label_cell(cell, source, tables.row_of(frame[column].eq(cell)), column)
    return known, None, found


def _vocabulary(found: Sequence[str], source: str, name: str | None) -> Vocabulary:
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
            raise UsageError(f"{source}: the vocabulary {name} has no label {quoting.cell(unknown[0])}.{hint}")
    for vocabulary in VOCABULARIES.values():
        unknown = [label for label in found if snake(label) not in map(snake, (*vocabulary.labels, NO_FINDING))]
        hints = [(label, hint) for label in unknown if (hint := did_you_mean(label, vocabulary.labels, cutoff=0.8))]
        if hints and len(unknown) <= len(found) / 2:  # one slip must not make a vocabulary of its own
            raise UsageError(f"{source}: {hints[0][0]!r} is no label of {vocabulary.name}.{hints[0][1]}")
    return Vocabulary("table", tuple(label for label in found if snake(label) != snake(NO_FINDING)))


def pieces(cell: str) -> list[str]:
    """What stands between the | of a cell; nothing in a blank one."""
    return [piece.strip() for piece in cell.split("|")] if cell.strip() else []
