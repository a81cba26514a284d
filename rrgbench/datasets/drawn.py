"""Synthetic trees of official layouts: the phantom's studies as image files and tables.

The tables have the official columns in their order and the images the official format; what they show is drawn, and
says nothing of a patient. A patient is in one split only, as in ``phantom``.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image

from rrgbench.datasets.phantom import Phantom
from rrgbench.errors import UsageError
from rrgbench.types import Findings, Status, Study

SIDE = 128  # pixels
MARK = "SYNTHETIC.txt"  # its presence in a root says that the tree was made here
_TWO_VIEWS = 0.3  # how many studies have a lateral view, too


def studies(n: int, seed: int) -> Iterator[Study]:
    """``n`` studies, by patient and then by date; ten patients or more are in all three splits."""
    return Phantom(n=n, seed=seed, size=SIDE).load(None)


def number(study: Study) -> int:
    """The patient's number, from 0."""
    return int(study.patient_id[1:])


def visit(study: Study) -> int:
    """Which of the patient's studies it is: 1 or 2."""
    return int(study.study_id.rsplit("-")[-1])


def views(study: Study, seed: int) -> tuple[str, ...]:
    """The views to write: the frontal one ("PA" or "AP"), and for some studies "LATERAL"."""
    frontal = study.images[0].view or "PA"
    return (frontal, "LATERAL") if rng(study, seed).random() < _TWO_VIEWS else (frontal,)


def rng(study: Study, seed: int) -> np.random.Generator:
    """Chance of the study's own, which doesn't depend on how many studies there are."""
    return np.random.default_rng((seed, number(study), visit(study), 77))


def picture(study: Study, view: str, file: Path) -> None:
    """Write one view as an 8-bit grey PNG or JPEG, whichever the file's name says.

    What stands for a lateral view is the frontal one laid over its mirror image: both lungs on one another.
    """
    pixels: npt.NDArray[np.float32] = study.images[0].read()
    if view == "LATERAL":
        pixels = (pixels + pixels[:, ::-1]) / np.float32(2)
    file.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(np.uint8(np.rint(pixels * 255))).save(file)


def marks(labels: Findings, chance: np.random.Generator | None = None) -> dict[str, str]:
    """A cell a label, as CheXpert's files have them: 1.0 and 0.0; with chance also -1.0 (uncertain) and blank.

    With chance, one in ten of the present ones is uncertain, and two in three of the absent ones are not mentioned.
    """
    out = {}
    for finding in labels:
        present = finding.status is Status.PRESENT
        out[finding.label] = "1.0" if present else "0.0"
        if chance is not None and chance.random() < (0.1 if present else 2 / 3):
            out[finding.label] = "-1.0" if present else ""
    return out


def table(file: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a .csv with these columns; what a row doesn't have is blank. No file is written where there are no rows."""
    rows = list(rows)
    if not rows:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


def empty(folder: Path) -> Path:
    """The folder to write to, made where it isn't there. Raises UsageError where it holds something."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise UsageError(f"{folder}: there is something in it; a synthetic tree is written to an empty folder.")
    return folder


def mark(root: Path, seed: int) -> None:
    """Say in a file that the tree is synthetic, so that what is scored on it says so, too."""
    (root / MARK).write_text(f"Drawn and written by rrgbench (seed {seed}); nothing here comes from a patient.\n")


def is_marked(root: Path) -> bool:
    """Whether a tree was made here."""
    return (root / MARK).is_file()
