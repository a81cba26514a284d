"""Boxes in a table's cell: ``Mass,120,80,60,60;Nodule,400,310,22,20``."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from rrgbench import quoting, tables
from rrgbench.errors import UsageError, did_you_mean
from rrgbench.labels import snake
from rrgbench.types import Box, Findings, Status, Vocabulary

_SAID_OTHERWISE = {"infiltrate": "infiltration"}  # in ChestX-ray14's own list of boxes
_OVER = 1e-3  # by which a box may reach over the image's edge for rounding, as a fraction of the image


def boxes(cell: str, vocabulary: Vocabulary, grid: float) -> dict[str, tuple[Box, ...]]:
    """The boxes of a cell by label. ``grid`` is how many of its units the image is wide, and high.

    A box is its label and x, y of its upper left, its width and its height, separated by commas; between boxes there
    is a semicolon. Raises ValueError, in words that quote nothing but what is short.
    """
    spelt = {snake(label): label for label in vocabulary.labels}
    out: dict[str, tuple[Box, ...]] = {}
    for piece in cell.split(";") if cell.strip() else ():
        name, *numbers = (each.strip() for each in piece.rsplit(",", 4))
        try:
            x, y, width, height = (float(number) / grid for number in numbers)
        except ValueError:
            raise ValueError(f"{quoting.cell(piece)} is not label,x,y,width,height.") from None
        label = spelt.get(_SAID_OTHERWISE.get(snake(name), snake(name)))
        if label is None:
            hint = did_you_mean(name, vocabulary.labels)
            raise ValueError(f"{quoting.cell(name)} is no label of {vocabulary.name}.{hint}")
        right, lower = x + width, y + height
        if not (0 <= x < right <= 1 + _OVER and 0 <= y < lower <= 1 + _OVER):
            where = f"an image that is {grid:g} wide and high (box_grid)"
            raise ValueError(f"the box {', '.join(numbers)} is not inside {where}.")
        box = Box(x, y, min(right, 1.0) - x, min(lower, 1.0) - y)
        out[label] = (*out.get(label, ()), box)
    return out


def check(frame: pd.DataFrame, source: str, column: str, vocabulary: Vocabulary, grid: float) -> None:
    """Raise UsageError for a cell that holds no boxes of this vocabulary's labels."""
    if not vocabulary.labels:
        raise UsageError(f"{source}: boxes={column} are of labels; say with labels= which column holds those.")
    if not grid > 0:
        raise UsageError(f"{source}: box_grid={grid:g} must be above 0: what the image is wide in the boxes' units.")
    for cell in frame[column].unique():
        try:
            boxes(cell, vocabulary, grid)
        except ValueError as error:
            row = tables.row_of(frame[column].eq(cell))
            raise UsageError(f"{source}, row {row}, column {column!r}: {error}") from None


def check_present(found: Mapping[str, tuple[Box, ...]], findings: Findings | None, where: str) -> None:
    """Raise UsageError for boxes of a label that is not present."""
    present = [finding.label for finding in findings.having(Status.PRESENT)] if findings else []
    if alien := [label for label in found if label not in present]:
        raise UsageError(f"{where}: a box of {alien[0]}, which is not present by the labels; correct one of the two.")
