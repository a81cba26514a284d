"""The rows of an official table: ids taken apart and checked, and the rows of one study brought together."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from rrgbench import quoting
from rrgbench.errors import UsageError
from rrgbench.types import Study

Row = dict[str, Any]
ROW = "row"  # the column with the row's number in the file, counted from 1 below the header

_AGE = re.compile(r"(\d{1,3}(?:\.\d+)?)([YMD]?)")
_DAYS_A_YEAR = {"": 1.0, "Y": 1.0, "M": 12.0, "D": 365.25}  # how many of the unit make a year
OLDEST = 120  # years; ChestX-ray14's first release has ages up to 414


def pieces(column: pd.Series[Any], pattern: str, file: Path, example: str) -> pd.DataFrame:
    """The named groups of a pattern that each id of a column must match as a whole: none becomes a path unchecked.

    The first group is one that every match has; another one that has none is blank. Raises UsageError for the first
    id that doesn't match, with ``example`` to show what one looks like, and for one that stands twice.
    """
    found = column.cat.categories.to_series().str.extract(rf"\A(?:{pattern})\Z")
    wrong = found.iloc[:, 0].isna().to_numpy()
    if (bad := wrong[column.cat.codes]).any():
        at = int(bad.argmax())
        raise UsageError(
            f"{file}, row {at + 1}: {quoting.name(column.iloc[at])} is no {column.name} such as {example}."
        )
    if (twice := column.duplicated()).any():
        at = int(twice.to_numpy().argmax())
        raise UsageError(f"{file}, row {at + 1}: the {column.name} {quoting.name(column.iloc[at])} stands there twice.")
    out = found.iloc[column.cat.codes].fillna("")
    return out.set_axis(column.index)


def numbers(column: pd.Series[Any], file: Path) -> npt.NDArray[np.float64]:
    """A column's cells as numbers, NaN where blank. Raises UsageError for one that is no number."""
    text = column.cat.categories.str.strip()
    values = pd.to_numeric(text.to_series(), errors="coerce").to_numpy(dtype=np.float64)
    wrong = ~np.isfinite(values) & (text != "")
    if (bad := wrong[column.cat.codes]).any():
        at = int(bad.argmax())
        raise UsageError(f"{file}, row {at + 1}, column {column.name!r}: {quoting.cell(column.iloc[at])} is no number.")
    return values[column.cat.codes]


def grouped(frame: pd.DataFrame, key: str) -> Iterator[list[Row]]:
    """The rows with the same value of ``key``, as mappings; groups in the order in which they first appear."""
    order = np.argsort(pd.factorize(frame[key])[0], kind="stable")
    names = [str(name) for name in frame.columns]
    every = (dict(zip(names, cells, strict=True)) for cells in frame.take(order).itertuples(index=False, name=None))
    for _, rows in itertools.groupby(every, key=lambda row: row[key]):
        yield list(rows)


def with_priors(dated: Iterable[tuple[float, Study]]) -> Iterator[Study]:
    """Each study with the same patient's one before it, which comes without a prior of its own.

    ``dated`` is by patient and then by date (any number that grows with it; NaN, where it is not known, comes last).
    Studies of one date have the same prior; one without a date has none.
    """
    last: Study | None = None
    when = math.nan
    for date, study in dated:
        prior = None
        if last and last.patient_id == study.patient_id and not math.isnan(date):
            prior = replace(last, prior=None) if when < date else last.prior
        last, when = replace(study, prior=prior), date
        yield last


def person(row: Mapping[str, Any], **columns: str) -> dict[str, str | float]:
    """Who the patient is, as far as the row says: ``sex`` as F or M, ``age`` in years, the others as they stand.

    ``columns`` gives the column of each; one that is not in the row, blank or "Unknown" is left out, and so is an age
    above ``OLDEST``.
    """
    out: dict[str, str | float] = {}
    for name, column in columns.items():
        cell = str(row.get(column, "")).strip()
        if name == "sex":
            cell = cell[:1].upper() if cell[:1].upper() in ("F", "M") else ""
        if name == "age":
            match = _AGE.fullmatch(cell.upper())
            if match and (years := float(match[1]) / _DAYS_A_YEAR[match[2]]) <= OLDEST:
                out[name] = years
        elif cell and cell.lower() != "unknown":
            out[name] = cell
    return out
