"""Read a table that a person made: CSV, JSONL or JSON, every cell as text, every fault named by file and row."""

from __future__ import annotations

import csv
import json
import math
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from rrgbench.errors import UsageError, did_you_mean
from rrgbench.types import Status

# 1/0/-1/blank is how CheXpert's and MIMIC-CXR's files write a label.
LABEL_CELLS = {
    "1": Status.PRESENT,
    "1.0": Status.PRESENT,
    "0": Status.ABSENT,
    "0.0": Status.ABSENT,
    "-1": Status.UNCERTAIN,
    "-1.0": Status.UNCERTAIN,
    "": Status.NOT_MENTIONED,
}


def read_table(path: Path) -> pd.DataFrame:
    """A .csv, .jsonl or .json file as a frame of text; a missing cell is the empty string.

    A .json file holds a list of records, or a mapping from study_id to the report's text.
    """
    readers = {".csv": _csv, ".jsonl": _jsonl, ".json": _json}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UsageError(f"{path}: a table is a .csv, .jsonl or .json file.")
    try:
        frame = reader(path)
    except FileNotFoundError:
        raise UsageError(f"{path}: there is no such file.") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 at byte {error.start}; save the file as UTF-8.") from None
    except OSError as error:
        raise UsageError(f"{path}: can't be read: {error.strerror}.") from None
    if frame.empty:
        raise UsageError(f"{path}: the table has no rows.")
    return frame


def _csv(path: Path) -> pd.DataFrame:
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = next(csv.reader(file), [])
    if twice := [name for at, name in enumerate(header) if name in header[:at]]:
        raise UsageError(f"{path}: there are two columns {twice[0]!r}; rename or remove one.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # pandas would cut such rows short
            return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", index_col=False)
    except pd.errors.EmptyDataError:
        raise UsageError(f"{path}: the file is empty.") from None
    except pd.errors.ParserWarning:
        raise UsageError(f"{path}: a row has more cells than the header; put text with commas in quotes.") from None
    except pd.errors.ParserError as error:
        raise UsageError(f"{path}: not a well-formed CSV: {' '.join(str(error).split())}") from None


def _jsonl(path: Path) -> pd.DataFrame:
    records = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), 1):
        if line.strip():
            try:
                record = json.loads(line)
            except ValueError as error:
                raise UsageError(f"{path}, line {number}: not JSON: {error}.") from None
            if not isinstance(record, dict):
                raise UsageError(f'{path}, line {number}: each line must be an object such as {{"study_id": …}}.')
            records.append(record)
    return as_text(pd.DataFrame(records, dtype=object), str(path))


def _json(path: Path) -> pd.DataFrame:
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise UsageError(f"{path}: not JSON: {error}.") from None
    if isinstance(value, dict):
        value = [{"study_id": key, "report": text} for key, text in value.items()]
    if not isinstance(value, list) or not all(isinstance(record, dict) for record in value):
        raise UsageError(f"{path}: must hold a list of records, or a mapping from study_id to text.")
    return as_text(pd.DataFrame(value, dtype=object), str(path))


def as_text(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    """Every cell of a frame as text: None and NaN are the empty string, 3.0 is "3" (an id that pandas made a float).

    Raises UsageError for a cell that is neither text nor a number, and for two columns of one name.
    """
    names = [str(column) for column in frame.columns]
    if twice := [name for at, name in enumerate(names) if name in names[:at]]:
        raise UsageError(f"{source}: there are two columns {twice[0]!r}; rename or remove one.")
    cells = {
        name: [_text(cell, f"{source}, row {row}, column {name!r}") for row, cell in enumerate(frame.iloc[:, at], 1)]
        for at, name in enumerate(names)
    }
    return pd.DataFrame(cells, dtype=str, columns=names)


def _text(cell: object, where: str) -> str:
    if isinstance(cell, str):
        return cell.encode("utf-8", "replace").decode()  # half a surrogate pair can't be written to a file
    if cell is None or cell is pd.NA or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, (bool, int, float, np.number)):
        return str(cell)
    raise UsageError(f"{where}: a cell must be text or a number, not {type(cell).__name__}.")


def require(frame: pd.DataFrame, source: str, **columns: str | None) -> None:
    """Raise UsageError where a column that is named by an option isn't there. None names no column."""
    there = [str(column) for column in frame.columns]
    for option, column in columns.items():
        if column is not None and column not in there:
            hint = did_you_mean(column, there)
            if len(there) == 1 and any(mark in there[0] for mark in ";\t"):
                hint = " The file seems to be separated by semicolons or tabs; save it with commas."
            raise UsageError(
                f"{source}: there is no column {column!r} ({option}=…).{hint} There are: {', '.join(there[:20])}."
            )


def by_id(frame: pd.DataFrame, source: str, column: str) -> pd.DataFrame:
    """The frame indexed by an id column. Raises UsageError for a blank id and for one that stands twice."""
    require(frame, source, id=column)
    if frame.empty:
        raise UsageError(f"{source}: the table has no rows.")
    ids = frame[column].str.strip()
    if (blank := ids.eq("")).any():
        raise UsageError(f"{source}, row {_row(blank)}: the id column {column!r} is blank; give every row an id.")
    if (twice := ids.duplicated()).any():
        row = _row(twice)
        raise UsageError(
            f"{source}, row {row}: the id {ids.iloc[row - 1]!r} stands in row {_row(ids == ids.iloc[row - 1])} already;"
            f" remove one of them ({int(twice.sum())} such rows)."
        )
    return frame.set_index(ids)


def label_cell(text: str, source: str, row: int, column: str) -> Status:
    """The status that a cell of a label column says. Raises UsageError for anything but 1, 0, -1 and blank."""
    try:
        return LABEL_CELLS[text.strip()]
    except KeyError:
        raise UsageError(f"{source}, row {row}, column {column!r}: {text!r} is not 1, 0, -1 or blank.") from None


def _row(found: pd.Series[bool]) -> int:
    """The number of the first row found, counted from 1 below the header."""
    return int(found.to_numpy().argmax()) + 1
