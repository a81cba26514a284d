"""What the adapters of official layouts share: tables by column name, and sections that are read when looked at."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv

from rrgbench import quoting
from rrgbench.errors import UsageError, did_you_mean
from rrgbench.labels import snake
from rrgbench.tables import LABEL_CELLS, separated
from rrgbench.types import Finding, Findings, Status, Vocabulary


class Sections(Mapping[str, str]):
    """A report's sections, read and parsed when they are first looked at. Picklable if ``read`` is."""

    def __init__(self, read: Callable[[], Mapping[str, str]]) -> None:
        self._read = read
        self._known: Mapping[str, str] | None = None

    def _sections(self) -> Mapping[str, str]:
        if self._known is None:
            self._known = self._read()
        return self._known

    def __getitem__(self, name: str) -> str:
        return self._sections()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sections())

    def __len__(self) -> int:
        return len(self._sections())


def find(root: Path, *names: str, required: bool = True, needed_by: str = "") -> Path | None:
    """The first of these files that is below the root, each also as .gz. Raises UsageError where none is.

    ``needed_by`` is the option without which it would not be looked for.
    """
    for name in names:
        for spelling in (name, f"{name}.gz"):
            file = root / spelling
            if file.is_file():
                if not file.resolve().is_relative_to(root.resolve()):
                    raise UsageError(f"{file}: a link that leads out of {root}; put the file itself there.")
                return file
    if required:
        why = f"; it is needed by {needed_by}." if needed_by else ". Is this the root?"
        raise UsageError(f"{root}: {names[0]} (or {names[0]}.gz) is not there{why}")
    return None


def read_columns(file: Path, required: Sequence[str], optional: Sequence[str] = ()) -> pd.DataFrame:
    """Columns of a .csv or .csv.gz by name, every cell as text, a blank cell as the empty string.

    Repeated values are kept once (categories), so that 400,000 rows stay small. A column that is ``optional`` and not
    there is not in the frame. Raises UsageError for whatever is wrong with the file.
    """
    try:
        there = header(file)
        _require(file, there, required)
        wanted = [name for name in (*required, *optional) if name in there]
        with pa.input_stream(str(file), compression="gzip" if file.suffix == ".gz" else None) as stream:
            table = pa.csv.read_csv(
                stream,
                parse_options=pa.csv.ParseOptions(newlines_in_values=True),
                convert_options=pa.csv.ConvertOptions(
                    column_types={name: pa.string() for name in wanted},
                    include_columns=wanted,
                    strings_can_be_null=False,
                ),
            )
    except (pa.ArrowInvalid, pa.ArrowException, OSError, EOFError) as error:
        raise UsageError(f"{file}: can't be read as a table: {plain(error)}") from None
    if not table.num_rows:
        raise UsageError(f"{file}: the table has no rows.")
    frame: pd.DataFrame = table.to_pandas(strings_to_categorical=True)
    return frame


def header(file: Path) -> list[str]:
    """The names of the columns; several may have none. Raises UsageError for a name that stands twice."""
    try:
        with (
            (gzip.open if file.suffix == ".gz" else open)(file, "rb") as raw,
            io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as text,
        ):
            names = next(csv.reader(text), [])
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: not UTF-8 at byte {error.start}.") from None
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        raise UsageError(f"{file}: can't be read as a table: {plain(error)}") from None
    if twice := [name for at, name in enumerate(names) if name and name in names[:at]]:
        raise UsageError(f"{file}: there are two columns {quoting.name(twice[0])}.")
    return names


def label_columns(file: Path, vocabulary: Vocabulary, renamed: Mapping[str, str] | None = None) -> dict[str, str]:
    """The column of each label of a vocabulary, whatever the order and the case. ``renamed``: other names by label.

    Raises UsageError for a label that has no column.
    """
    names = header(file)
    there = {snake(name): name for name in names}
    out = {}
    for label in vocabulary.labels:
        column = there.get(snake(label)) or there.get(snake((renamed or {}).get(label, label)))
        if column is None:
            hint = separated(names)
            raise UsageError(
                f"{file}: there is no column for the label {label!r}.{hint} There are: {quoting.columns(names)}."
            )
        out[label] = column
    return out


def check_labels(frame: pd.DataFrame, file: Path, columns: Mapping[str, str]) -> None:
    """Raise UsageError for a cell of a label's column that is not 1, 0, -1 or blank."""
    for column in columns.values():
        for cell in frame[column].cat.categories:
            if cell.strip() not in LABEL_CELLS:
                row = int((frame[column] == cell).argmax()) + 1
                raise UsageError(
                    f"{file}, row {row}, column {column!r}: {quoting.cell(cell)} is not 1, 0, -1 or blank."
                )


def findings(vocabulary: Vocabulary, columns: Mapping[str, str], row: Mapping[str, str]) -> Findings | None:
    """The labels of a row; a blank one is not mentioned. None where all are blank."""
    statuses = {label: LABEL_CELLS[row[column].strip()] for label, column in columns.items()}
    found = {label: Finding(label, s) for label, s in statuses.items() if s is not Status.NOT_MENTIONED}
    return Findings(vocabulary, found) if found else None


def _require(file: Path, there: Sequence[str], required: Sequence[str]) -> None:
    for name in required:
        if name not in there:
            hint = separated(there) or did_you_mean(name, there)
            raise UsageError(f"{file}: there is no column {name!r}.{hint} There are: {quoting.columns(there)}.")


def plain(error: BaseException) -> str:
    """What is wrong with a file, in one line and without a cell of it, which may be a report."""
    text = " ".join(str(error).split())
    text, malformed = re.subn(r"(Expected \d+ columns, got \d+):.*", r"\1; is it cut short, or a quote open?", text)
    if malformed:
        return text
    text = re.sub(r"'.*'", "…", text)  # a value that could not be converted
    if isinstance(error, EOFError) or "truncated" in text.lower() or "unexpected end" in text.lower():
        return f"the file is cut short; download it again ({text})"
    return text
