"""Which images, studies and patients there are, by split and date: arrays, so that 377,110 images are little.

Columns (physionet.org/content/mimic-cxr-jpg/2.1.0): the split file has dicom_id, study_id, subject_id, split; the
metadata file dicom_id, ViewPosition, StudyDate (YYYYMMDD, shifted), StudyTime (HHMMSS.fff, without leading zeros).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from rrgbench import quoting
from rrgbench.datasets.official import read_columns
from rrgbench.errors import UsageError, did_you_mean

SPLITS = ("train", "validate", "test")
FRONTAL = ("PA", "AP")  # these come first of a study's images, in this order; what may be lateral comes last

# What MIMIC calls a view by a name of its own: left lateral.
_VIEWS = {"LL": "LATERAL"}

# Patients 1xxxxxxx, studies 5xxxxxxx, images 40 hexadecimal digits with hyphens (mimic.mit.edu/docs/iv/modules/cxr).
_NUMBER = "[0-9]{8}"
_DICOM = "[0-9a-fA-F-]{1,64}"

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Index:
    """Images by patient, date, study and view (frontal first); studies in the same order.

    Study ``i`` has the images ``first[i]`` to ``first[i + 1]``. ``when`` is date and time as one number, infinite where
    it is not known.
    """

    dicom: npt.NDArray[np.object_]  # by image
    view: list[str | None]  # by image; None where it is not known
    study: Ints  # by study, as are all that follow
    patient: Ints
    split: npt.NDArray[np.int8]  # a position in SPLITS
    when: npt.NDArray[np.float64]
    first: Ints
    unknown: int  # images that the metadata doesn't have
    unlisted: int  # images of the metadata that the split file doesn't have

    def __len__(self) -> int:
        return len(self.study)

    def of_split(self, split: str | None) -> Ints:
        """The studies of a split, or of all."""
        if split is None:
            return np.arange(len(self))
        if split not in SPLITS:
            raise UsageError(
                f"mimic-cxr has no split {split!r}; it has {', '.join(SPLITS)}.{did_you_mean(split, SPLITS)}"
            )
        return np.flatnonzero(self.split == SPLITS.index(split))

    def prior(self, at: int) -> int | None:
        """The same patient's last study that is earlier than this one, or None."""
        before = at - 1 if np.isfinite(self.when[at]) else -1
        while before >= 0 and self.patient[before] == self.patient[at]:
            if self.when[before] < self.when[at]:
                return before
            before -= 1
        return None

    def split_patients(self) -> Ints:
        """The patients that stand in more than one split."""
        pairs = pd.DataFrame({"patient": self.patient, "split": self.split}).drop_duplicates()
        twice: Ints = pairs["patient"][pairs["patient"].duplicated()].unique()
        return twice


def read(split_file: Path, metadata_file: Path) -> Index:
    """Read the two tables. Raises UsageError for whatever is wrong with them."""
    rows = read_columns(split_file, ("dicom_id", "study_id", "subject_id", "split"))
    dicom = _dicom_ids(rows, split_file)
    if (twice := dicom.duplicated()).any():
        row = int(twice.argmax())
        raise UsageError(f"{split_file}, row {row + 1}: the image {dicom[row]!r} stands twice.")
    study = numbers(rows, split_file, "study_id")
    patient = numbers(rows, split_file, "subject_id")
    split = _split_codes(rows, split_file)
    view, when, known, unlisted = _metadata(metadata_file, dicom)

    ids, of_image = np.unique(study, return_inverse=True)
    whens = np.full(len(ids), np.inf)
    np.minimum.at(whens, of_image, when)  # the images of a study may be minutes apart
    when = whens[of_image]

    rank = np.array([_rank(name) for name in view])
    order = np.lexsort((rank, study, when, patient))  # the last key counts most
    study, patient, split = study[order], patient[order], split[order]
    starts = np.flatnonzero(np.r_[True, study[1:] != study[:-1]])
    if len(starts) > len(ids):
        row = int(order[starts[pd.Series(study[starts]).duplicated().to_numpy()][0]])
        raise UsageError(f"{split_file}, row {row + 1}: the study {rows['study_id'].iloc[row]} is of two patients.")
    mixed = np.r_[False, (study[1:] == study[:-1]) & (split[1:] != split[:-1])]
    if mixed.any():
        row = int(order[mixed.argmax()])
        raise UsageError(f"{split_file}, row {row + 1}: the study {rows['study_id'].iloc[row]} is in two splits.")
    return Index(
        dicom=dicom.to_numpy()[order],
        view=view[order].tolist(),
        study=study[starts],
        patient=patient[starts],
        split=split[starts],
        when=when[order][starts],
        first=np.r_[starts, len(study)],
        unknown=int((~known).sum()),
        unlisted=unlisted,
    )


def numbers(rows: pd.DataFrame, file: Path, column: str) -> Ints:
    """A column of patients' or studies' ids. Raises UsageError for one that isn't 8 digits."""
    _check_ids(rows, file, column, _NUMBER, "8 digits")
    ids = rows[column].cat
    out: Ints = ids.categories.to_numpy().astype(np.int64)[ids.codes.to_numpy()]
    return out


def _rank(view: str | None) -> int:
    if view in FRONTAL:
        return FRONTAL.index(view)
    return len(FRONTAL) + (view is not None and view.endswith("LATERAL"))


def _dicom_ids(rows: pd.DataFrame, file: Path) -> pd.Index[str]:
    _check_ids(rows, file, "dicom_id", _DICOM, "hexadecimal digits and hyphens")
    ids: pd.Index[str] = pd.Index(rows["dicom_id"].astype(object))
    return ids


def _check_ids(rows: pd.DataFrame, file: Path, column: str, pattern: str, form: str) -> None:
    texts = rows[column].cat.categories
    wrong = ~np.asarray(texts.str.fullmatch(pattern), dtype=bool)
    if wrong.any():
        text = texts[int(wrong.argmax())]
        raise UsageError(
            f"{file}, row {_row(rows, column, text)}, column {column!r}: {quoting.name(text)} is no id of MIMIC-CXR"
            f" ({form})."
        )


def _split_codes(rows: pd.DataFrame, file: Path) -> npt.NDArray[np.int8]:
    column = rows["split"].cat
    for text in column.categories:
        if text not in SPLITS:
            raise UsageError(
                f"{file}, row {_row(rows, 'split', text)}, column 'split': {quoting.cell(text)} is not in {SPLITS}."
            )
    codes = np.array([SPLITS.index(text) for text in column.categories], dtype=np.int8)
    out: npt.NDArray[np.int8] = codes[column.codes.to_numpy()]
    return out


def _metadata(
    file: Path, dicom: pd.Index[str]
) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.float64], npt.NDArray[np.bool_], int]:
    """View, date and time of each image, whether it is known, and how many others the file has."""
    rows = read_columns(file, ("dicom_id", "ViewPosition", "StudyDate", "StudyTime"))
    ids = _dicom_ids(rows, file)
    if (twice := ids.duplicated()).any():
        row = int(twice.argmax())
        raise UsageError(f"{file}, row {row + 1}: the image {ids[row]!r} stands twice.")
    at = ids.get_indexer(dicom)
    known = at >= 0
    when = _clock(rows, file, "StudyDate", 99_991_231) * 1e6 + _clock(rows, file, "StudyTime", 240_000)
    names = [_VIEWS.get(name, name) for name in (text.strip().upper() for text in rows["ViewPosition"].cat.categories)]
    views = np.array([*(name or None for name in names), None], dtype=object)
    codes = np.where(known, rows["ViewPosition"].cat.codes.to_numpy()[at], len(names))
    whens: npt.NDArray[np.float64] = np.where(known, when[at], np.inf)
    return views[codes], whens, known, len(rows) - int(known.sum())


def _clock(rows: pd.DataFrame, file: Path, column: str, most: int) -> npt.NDArray[np.float64]:
    """A date or a time as a number; a blank one is infinite."""
    texts = pd.Series(rows[column].cat.categories.str.strip(), dtype=object)
    values = pd.to_numeric(texts, errors="coerce").astype(float).where(texts != "", np.inf)
    wrong = ~(values.between(0, most) | (texts == ""))
    if wrong.any():
        text = rows[column].cat.categories[int(wrong.to_numpy().argmax())]
        raise UsageError(
            f"{file}, row {_row(rows, column, text)}, column {column!r}: {quoting.cell(text)} is not of the form"
            f" {'YYYYMMDD' if column == 'StudyDate' else 'HHMMSS.fff'}."
        )
    numbers = np.asarray(values, dtype=np.float64)
    return numbers[rows[column].cat.codes.to_numpy()]


def _row(rows: pd.DataFrame, column: str, text: str) -> int:
    """The number of the first row with this cell, counted from 1 below the header."""
    return int((rows[column] == text).argmax()) + 1
