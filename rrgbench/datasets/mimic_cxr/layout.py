"""Where the files of MIMIC-CXR and MIMIC-CXR-JPG lie below a root folder: the layouts that PhysioNet's files come in.

``files/p10/p10000032/s50414267/<dicom_id>.jpg`` for an image, ``files/p10/p10000032/s50414267.txt`` for its report
(physionet.org/content/mimic-cxr-jpg/2.1.0, physionet.org/content/mimic-cxr/2.1.0, mimic-cxr-reports.zip).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from rrgbench.datasets import official
from rrgbench.datasets.mimic_cxr.index import SPLITS, Index

SPLIT = "mimic-cxr-2.0.0-split.csv"
METADATA = "mimic-cxr-2.0.0-metadata.csv"

_JPG = ("", "mimic-cxr-jpg/", "mimic-cxr-jpg/2.1.0/", "mimic-cxr-jpg/2.0.0/")
_DICOM = ("", "mimic-cxr/", "mimic-cxr/2.1.0/", "mimic-cxr/2.0.0/")
_IMAGES = {"jpg": tuple(f"{at}files" for at in _JPG), "dicom": tuple(f"{at}files" for at in _DICOM)}
_UNPACKED = ("mimic-cxr-reports/files", "mimic-cxr-reports", "reports/files", "reports")
_ZIPPED = tuple(f"{at}mimic-cxr-reports.zip" for at in _DICOM)
SUFFIX = {"jpg": ".jpg", "dicom": ".dcm"}

_PROBED = 100  # studies of each split whose files are looked for, to tell whether a folder holds such files


def table(root: Path, name: str, required: bool = True, needed_by: str = "") -> Path | None:
    """The .csv or .csv.gz of this name. Raises UsageError where a required one is not there."""
    return official.find(root, *(at + name for at in _JPG), required=required, needed_by=needed_by)


def study_folder(index: Index, at: int) -> str:
    """``p10/p10000032/s50414267``: ids are 8 digits each, so that no path leads elsewhere."""
    return f"{patient_folder(index, at)}/s{index.study[at]}"


def patient_folder(index: Index, at: int) -> str:
    """``p10/p10000032``."""
    patient = str(index.patient[at])
    return f"p{patient[:2]}/p{patient}"


def image_names(index: Index, at: int, kind: str) -> list[str]:
    """The file names of a study's images, in order."""
    dicoms = index.dicom[index.first[at] : index.first[at + 1]]
    return [f"{dicom}{SUFFIX[kind]}" for dicom in dicoms]


def image_folder(root: Path, index: Index, kind: str) -> str | None:
    """The folder of the images below the root, or None where there are none."""
    names = [f"{study_folder(index, at)}/{name}" for at in _probed(index) for name in image_names(index, at, kind)]
    return _holding(root, _IMAGES[kind], names)


def report_folder(root: Path, index: Index) -> str | None:
    """The folder of the reports below the root, or None where there are none."""
    unpacked = next((folder for folder in _UNPACKED if (root / folder).is_dir()), None)
    names = [f"{study_folder(index, at)}.txt" for at in _probed(index)]
    return unpacked or _holding(root, dict.fromkeys((*_IMAGES["dicom"], *_IMAGES["jpg"])), names)


def zipped_reports(root: Path) -> str | None:
    """The reports' archive, where it lies there as it was downloaded."""
    return next((name for name in _ZIPPED if (root / name).is_file()), None)


def missing_images(folder: Path, index: Index, kind: str) -> Iterator[str]:
    """The images that the folder lacks. Each study's folder is listed once; no file is opened."""
    for at in range(len(index)):
        there = _listed(folder / study_folder(index, at))
        yield from (f"{study_folder(index, at)}/{n}" for n in image_names(index, at, kind) if n not in there)


def missing_reports(folder: Path, index: Index) -> Iterator[str]:
    """The reports that the folder lacks. Each patient's folder is listed once; no file is opened."""
    patient, there = -1, set[str]()
    for at in range(len(index)):
        if index.patient[at] != patient:
            patient, there = int(index.patient[at]), _listed(folder / patient_folder(index, at))
        if f"s{index.study[at]}.txt" not in there:
            yield f"{study_folder(index, at)}.txt"


def _probed(index: Index) -> list[int]:
    return [int(at) for split in SPLITS for at in index.of_split(split)[:_PROBED]]


def _holding(root: Path, folders: Iterable[str], names: list[str]) -> str | None:
    return next((f for f in folders if (root / f).is_dir() and any((root / f / n).exists() for n in names)), None)


def _listed(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries}
    except OSError:
        return set()
