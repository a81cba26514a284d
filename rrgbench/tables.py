"""Read a table that a person made: CSV, JSONL or JSON, every cell as text, every fault named by file and row."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import warnings
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from rrgbench import quoting
from rrgbench.errors import UsageError, did_you_mean
from rrgbench.types import Case, Status

T = TypeVar("T")

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


MAX_FILE_BYTES = 2_000_000_000  # all reports of MIMIC-CXR together have a tenth of this
MAX_CELL = 1_000_000  # characters; the longest report of MIMIC-CXR has a few thousand


def read_table(path: Path) -> pd.DataFrame:
    """A .csv, .jsonl or .json file, each also as .gz, as a frame of text; a missing cell is the empty string.

    A .json file holds a list of records, or a mapping from study_id to the report's text.
    """
    readers = {".csv": _csv, ".jsonl": _jsonl, ".json": _json}
    reader = readers.get(Path(path.name.lower().removesuffix(".gz")).suffix)
    if reader is None:
        raise UsageError(f"{path}: a table is a .csv, .jsonl or .json file, or one of these as .gz.")
    data = _bytes(path)
    try:
        frame = reader(data, str(path))
    except UnicodeDecodeError:  # pandas counts from the beginning of a piece
        raise UsageError(f"{path}: not UTF-8 at byte {_first_bad_byte(data)}; save the file as UTF-8.") from None
    if frame.empty:
        raise UsageError(f"{path}: the table has no rows.")
    return frame


def read_mapping(path: Path) -> dict[str, Any]:
    """A .json file, or .json.gz, that maps study_id to something. Raises UsageError, also for a key given twice."""
    data = _bytes(path)
    try:
        table = json.loads(data.decode("utf-8-sig"), object_pairs_hook=once)
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not UTF-8 at byte {_first_bad_byte(data)}; save the file as UTF-8.") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not sound JSON: {error}.") from None
    if not isinstance(table, dict) or not table:
        raise UsageError(f'{path}: must be one JSON object keyed by study_id, as in {{"s1": …, "s2": …}}.')
    return table


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys stand once: JSON allows more and keeps the last, which would drop a study in silence.

    For ``object_pairs_hook``. Raises ValueError.
    """
    out: dict[str, Any] = {}
    for key, value in pairs:
        if key in out:
            raise ValueError(f"the key {quoting.name(key)} stands twice")
        out[key] = value
    return out


def separated(header: Sequence[str]) -> str:
    """What is wrong with a .csv whose header is one name with other separators in it, else an empty string."""
    if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
        return " The file seems to be separated by semicolons or tabs; save it with commas."
    return ""


def said_of(
    table: Mapping[str, T], source: str, cases: Sequence[Case], texts: Sequence[str | None], blank: T
) -> list[T | None]:
    """What a mapping by study_id says of each case's text, in order.

    Where it says nothing: ``blank`` for an empty text, else None, and a warning names the studies. A protocol that
    counts images may have several texts of a study: they are looked up by image_id, and one that is only there by
    study_id raises UsageError, because it can't be told which of them is meant.
    """
    out: list[T | None] = []
    lacking: list[str] = []
    text_of: dict[str, str | None] = {}
    for case, text in zip(cases, texts, strict=True):
        study_id = case.study.study_id
        if case.image_id is not None and case.image_id in table:
            out.append(table[case.image_id])
        elif study_id in table:
            if text_of.setdefault(study_id, text) != text:
                raise UsageError(
                    f"{source}: the study {study_id} has several texts here (the protocol counts images), and the file"
                    " doesn't say which one it is of; key it by image_id."
                )
            out.append(table[study_id])
        elif text is not None and not text.strip():
            out.append(blank)
        else:
            out.append(None)
            lacking.append(study_id)
    if lacking:
        named = ", ".join(lacking[:5]) + (" …" if len(lacking) > 5 else "")
        warnings.warn(f"{source} has no entry for {len(lacking)} texts, of: {named}.", stacklevel=2)
    return out


def _bytes(path: Path) -> bytes:
    """What is in the file, unpacked."""
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise UsageError(f"{path}: there is no such file.") from None
    except EOFError:
        raise UsageError(f"{path}: the file is cut short; download or copy it again.") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise UsageError(f"{path}: not a sound .gz file ({error}); download or copy it again.") from None
    except OSError as error:
        raise UsageError(f"{path}: can't be read: {error.strerror}.") from None
    if len(data) > MAX_FILE_BYTES:
        raise UsageError(f"{path}: more than {MAX_FILE_BYTES / 1e9:g} GB; keep the columns and rows that are needed.")
    return data


def _first_bad_byte(data: bytes) -> int:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start
    return len(data)


def _csv(data: bytes, source: str) -> pd.DataFrame:
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise UsageError(f"{source}, line {line}: a NUL byte: damaged, or saved as UTF-16; save the file as UTF-8.")
    try:
        with io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline="") as file:
            header = next(csv.reader(file), [])
    except csv.Error as error:
        raise UsageError(f"{source}: the header can't be read ({error}); is a quote open there?") from None
    if hint := separated(header):
        raise UsageError(f"{source}:{hint}")
    if twice := [name for at, name in enumerate(header) if name in header[:at]]:
        raise UsageError(f"{source}: there are two columns {quoting.name(twice[0])}; rename or remove one.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # pandas would cut such rows short
            return pd.read_csv(
                io.BytesIO(data), dtype=str, keep_default_na=False, encoding="utf-8-sig", index_col=False
            )
    except pd.errors.EmptyDataError:
        raise UsageError(f"{source}: the file is empty.") from None
    except pd.errors.ParserWarning:
        raise UsageError(f"{source}: a row has more cells than the header; put text with commas in quotes.") from None
    except pd.errors.ParserError as error:
        raise UsageError(f"{source}: not a well-formed CSV: {' '.join(str(error).split())}") from None


def _jsonl(data: bytes, source: str) -> pd.DataFrame:
    records = []
    for number, line in enumerate(data.decode("utf-8-sig").split("\n"), 1):
        if line.strip():
            try:
                record = json.loads(line, object_pairs_hook=once)
            except (ValueError, RecursionError) as error:
                raise UsageError(f"{source}, line {number}: not sound JSON: {error}.") from None
            if not isinstance(record, dict):
                raise UsageError(f'{source}, line {number}: each line must be an object such as {{"study_id": …}}.')
            records.append(record)
    return as_text(pd.DataFrame(records, dtype=object), source)


def _json(data: bytes, source: str) -> pd.DataFrame:
    text = data.decode("utf-8-sig")
    try:
        value = json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{source}: not sound JSON: {error}.") from None
    if isinstance(value, dict):
        value = [{"study_id": key, "report": text} for key, text in value.items()]
    if not isinstance(value, list) or not all(isinstance(record, dict) for record in value):
        raise UsageError(f"{source}: must hold a list of records, or a mapping from study_id to text.")
    return as_text(pd.DataFrame(value, dtype=object), source)


def as_text(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    """Every cell of a frame as text: None and NaN are the empty string, 3.0 is "3" (an id that pandas made a float).

    Raises UsageError for a cell that is neither text nor a number, and for two columns of one name.
    """
    names = [str(column) for column in frame.columns]
    if twice := [name for at, name in enumerate(names) if name in names[:at]]:
        raise UsageError(f"{source}: there are two columns {quoting.name(twice[0])}; rename or remove one.")
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
            hint = separated(there) or did_you_mean(column, there)
            raise UsageError(
                f"{source}: there is no column {column!r} ({option}=…).{hint} There are: {quoting.columns(there)}."
            )


def require_short(frame: pd.DataFrame, source: str, columns: Iterable[str]) -> None:
    """Raise UsageError where a cell has more than MAX_CELL characters."""
    for column in columns:
        if (long := frame[column].str.len().gt(MAX_CELL)).any():
            raise UsageError(
                f"{source}, row {row_of(long)}, column {column!r}: the cell has more than {MAX_CELL:,} characters;"
                " is a quote open there?"
            )


def ids(frame: pd.DataFrame, source: str, column: str) -> pd.Series[str]:
    """The cells of an id column. Raises UsageError for a blank one."""
    require(frame, source, id=column)
    if frame.empty:
        raise UsageError(f"{source}: the table has no rows.")
    found = frame[column].str.strip()
    if (blank := found.eq("")).any():
        raise UsageError(f"{source}, row {row_of(blank)}: the id column {column!r} is blank; give every row an id.")
    return found


def by_id(frame: pd.DataFrame, source: str, column: str) -> pd.DataFrame:
    """The frame indexed by an id column. Raises UsageError for a blank id and for one that stands twice."""
    found = ids(frame, source, column)
    if (twice := found.duplicated()).any():
        row = row_of(twice)
        raise UsageError(
            f"{source}, row {row}: the id {quoting.name(found.iloc[row - 1])} stands in row"
            f" {row_of(found == found.iloc[row - 1])} already; remove one of them ({int(twice.sum())} such rows)."
        )
    return frame.set_index(found)


def merged(
    frame: pd.DataFrame, source: str, keys: pd.Series[str], joined: Collection[str], texts: Collection[str] = ()
) -> pd.DataFrame:
    """One row a key, in the order of their first rows, indexed by the key.

    The cells of the columns ``joined`` are put together with ``|``. In any other column the rows of a key must say the
    same or nothing. Raises UsageError, with the rows; nothing of the columns ``texts``, which hold reports, is quoted.
    """
    names, index = keys.tolist(), pd.Index(keys.unique())
    out: dict[str, pd.Series[str]] = {}
    for column in frame.columns:
        if column in joined:
            pieces: dict[str, list[str]] = {}
            for key, cell in zip(names, frame[column].tolist(), strict=True):
                pieces.setdefault(key, []).append(cell)
            out[column] = pd.Series(["|".join(cells) for cells in pieces.values()], index=index, dtype=str)
            continue
        told = dict.fromkeys(names, "")
        cells = frame[column].str.strip()
        for row, (key, cell) in enumerate(zip(names, cells.tolist(), strict=True), 1):
            if cell and told[key] and told[key] != cell:
                values = "" if column in texts else f", {quoting.cell(told[key])} and {quoting.cell(cell)}"
                raise UsageError(
                    f"{source}, rows {row_of(keys.eq(key) & cells.eq(told[key]))} and {row}: the study"
                    f" {quoting.name(key)} has two values in the column {column!r}{values}; make them agree, or leave"
                    " one blank."
                )
            told[key] = told[key] or cell
        out[column] = pd.Series(list(told.values()), index=index, dtype=str)
    return pd.DataFrame(out, index=index, columns=frame.columns)


def label_cell(text: str, source: str, row: int, column: str) -> Status:
    """The status that a cell of a label column says. Raises UsageError for anything but 1, 0, -1 and blank."""
    try:
        return LABEL_CELLS[text.strip()]
    except KeyError:
        shown = quoting.cell(text)
        raise UsageError(f"{source}, row {row}, column {column!r}: {shown} is not 1, 0, -1 or blank.") from None


def row_of(found: pd.Series[bool]) -> int:
    """The number of the first row found, counted from 1 below the header."""
    return int(found.to_numpy().argmax()) + 1
