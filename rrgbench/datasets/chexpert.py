"""``chexpert``: CheXpert (Irvin et al., AAAI 2019): images and labels, no reports."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from rrgbench import images, roots
from rrgbench.cache import digest, file_digest
from rrgbench.datasets import drawn, official
from rrgbench.datasets.rows import ROW, Row, grouped, person, pieces
from rrgbench.errors import UsageError, did_you_mean
from rrgbench.labels import CHEXPERT
from rrgbench.types import Image, Study

# The table of each split. groundtruth.csv is that of rajpurkarlab/cheXpert-test-set-labels (a row a study),
# test_labels.csv that of CheXlocalize (a row an image).
TABLES = {
    "train": ("train.csv",),
    "validate": ("valid.csv",),
    "test": ("groundtruth.csv", "test_labels.csv"),
}
_FOLDERS = {"train": "train", "validate": "valid", "test": "test"}
# The root itself, or what an archive in it unpacks to; the last is that of the full-size images.
_HOMES = (".", "CheXpert-v1.0", "CheXpert-v1.0-small", "CheXpert-v1.0 batch 1 (validate & csv)")
_BATCHES = "CheXpert-v1.0 batch * (train *)"  # the full-size train images: patients' folders, not in one named train

_FILE = r"view(?P<number>\d+)_(?P<side>frontal|lateral)\.(?:jpg|png)"
_PATH = (
    r"(?:CheXpert-v1\.0[^/]*/)?(?P<folder>train|valid|test)/(?P<patient>patient\d+)/(?P<study>study\d+)"
    rf"(?:/(?P<file>{_FILE}))?"
)
_EXAMPLE = "CheXpert-v1.0/train/patient00001/study1/view1_frontal.jpg"

_PERSON_AND_VIEW = ("Sex", "Age", "Frontal/Lateral", "AP/PA")


class CheXpert:
    """CheXpert: ``chexpert:root=FOLDER``, the folder that holds train.csv or the one that its archives were put in.

    A study is a patient's folder and a study's folder (``patient00001_study1``). There are no reports. A split is
    there if its table is: train.csv, valid.csv, and for ``test`` groundtruth.csv or test_labels.csv.
    """

    version = "1"
    terms = "credentialed"  # the Stanford research use agreement: for whoever signed it
    vocabulary = CHEXPERT
    # Images: Irvin et al., and the rows of the tables (stanfordmlgroup.github.io#9: 64,740 patients in train and
    # validate). Test: rajpurkarlab/cheXpert-test-set-labels (500 studies), CheXlocalize's README (668 images).
    official = {
        "train": {"images": 223414, "patients": 64540},
        "validate": {"images": 234, "studies": 200, "patients": 200},
        "test": {"images": 668, "studies": 500, "patients": 500},
    }

    def __init__(self, root: Path) -> None:
        self._root = roots.folder(root, "chexpert")
        self._files = {split: file for split in TABLES if (file := self._find(split))}
        if not self._files:
            raise UsageError(f"{root}: none of train.csv, valid.csv and groundtruth.csv is there.")
        self.splits = tuple(self._files)
        self.synthetic = any(drawn.is_marked(self._root / home) for home in _HOMES)
        self.signature = f"files:{digest([file_digest(file) for file in self._files.values()])[:12]}"
        self._frames: dict[str, pd.DataFrame] = {}
        self._homes = {
            folder: next((home for home in _HOMES if (root / home / folder).is_dir()), None)
            for folder in _FOLDERS.values()
        }
        batches = self._root.glob(_BATCHES)
        self._batches = {patient.name: batch.name for batch in batches for patient in batch.iterdir()}

    def load(self, split: str | None) -> Iterator[Study]:
        """The studies of a split in the order of its table."""
        if split is not None and split not in self.splits:
            hint = did_you_mean(split, self.splits)
            raise UsageError(f"chexpert has no split {split!r} in {self._root}; it has {', '.join(self.splits)}.{hint}")
        return self._studies(self.splits if split is None else (split,))

    def _studies(self, splits: tuple[str, ...]) -> Iterator[Study]:
        for split in splits:
            for rows in grouped(self._frame(split), "study_id"):
                yield self._study(split, rows)

    def notes(self) -> list[str]:
        """What the labels are, and what is not known."""
        return [
            "There are no reports; reports of the same studies are in CheXpert Plus (chexpert-plus).",
            "Labels of train are the CheXpert labeler's, from reports that are not here (blank: not mentioned);"
            " those of validate are three radiologists', those of test the majority of five (Irvin et al.).",
            "No study has a prior: that the studies of a patient are numbered by date is unverified.",
            "A test image is frontal or lateral by its file's name; its AP or PA, age and sex are not published.",
        ]

    def problems(self) -> list[str]:
        """Tables that are not there, and splits without an image."""
        out = [f"{TABLES[split][0]} is not there: no split {split}" for split in TABLES if split not in self._files]
        for split in self.splits:
            patients = self._frame(split)[["folder", "patient"]].drop_duplicates().itertuples(index=False, name=None)
            if not any((self._root / self._folder(folder, patient)).is_dir() for folder, patient in patients):
                out.append(f"there is no image of the split {split}: {_FOLDERS[split]}/patient…/study… is not there")
        return out

    @staticmethod
    def make(folder: Path, studies: int, seed: int) -> None:
        """Write a synthetic tree: train.csv, valid.csv, groundtruth.csv, and JPEG images."""
        home = drawn.empty(folder) / "CheXpert-v1.0"
        rows: dict[str, list[dict[str, Any]]] = {name: [] for name in (*TABLES, "groundtruth")}
        for study in drawn.studies(studies, seed):
            split, labels = str(study.split), study.labels
            assert labels is not None
            chance = drawn.rng(study, seed) if split == "train" else None
            marks = drawn.marks(labels, chance)
            name = f"{_FOLDERS[split]}/patient{drawn.number(study) + 1:05d}/study{drawn.visit(study)}"
            for at, view in enumerate(drawn.views(study, seed), 1):
                side = "Lateral" if view == "LATERAL" else "Frontal"
                path = f"{name}/view{at}_{side.lower()}.jpg"
                drawn.picture(study, view, home / path)
                known = {
                    "Sex": "Female" if study.demographics["sex"] == "F" else "Male",
                    "Age": study.demographics["age"],
                    "Frontal/Lateral": side,
                    "AP/PA": view if side == "Frontal" else "",
                }
                rows[split].append({"Path": f"CheXpert-v1.0/{path}", **known, **marks})
            if split == "test":
                rows["groundtruth"].append({"Study": f"CheXpert-v1.0/{name}", **marks})
        drawn.mark(home, seed)
        columns = ("Path", *_PERSON_AND_VIEW, *CHEXPERT.labels)
        drawn.table(home / "train.csv", columns, rows["train"])
        drawn.table(home / "valid.csv", columns, rows["validate"])
        drawn.table(home / "groundtruth.csv", ("Study", *CHEXPERT.labels), rows["groundtruth"])

    def _find(self, split: str) -> Path | None:
        names = (f"{home}/{name}" for name in TABLES[split] for home in _HOMES)
        return official.find(self._root, *names, required=False)

    def _frame(self, split: str) -> pd.DataFrame:
        """A split's table, its paths taken apart, a column a label of the vocabulary's name."""
        if split not in self._frames:
            file = self._files[split]
            by_study = split == "test" and "Study" in official.header(file)
            path = "Study" if by_study else "Path"
            labels = official.label_columns(file, CHEXPERT)
            known = () if split == "test" else _PERSON_AND_VIEW
            frame = official.read_columns(file, (path, *known, *labels.values()))
            official.check_labels(frame, file, labels)
            frame = frame.rename(columns={column: label for label, column in labels.items()})
            frame = frame.join(pieces(frame.pop(path), _PATH, file, _EXAMPLE))
            if not by_study and (frame["file"] == "").any():
                raise UsageError(f"{file}: the column Path must name images, such as {_EXAMPLE}.")
            frame["study_id"] = frame["patient"] + "_" + frame["study"]
            frame[ROW] = range(1, len(frame) + 1)
            self._frames[split] = frame
        return self._frames[split]

    def _study(self, split: str, rows: list[Row]) -> Study:
        first = rows[0]
        found = [self._image(split, row) for row in (rows if first["file"] else self._listed(first))]
        return Study(
            study_id=first["study_id"],
            patient_id=first["patient"],
            split=split,
            images=tuple(sorted(found, key=lambda image: (image.view == "LATERAL", image.image_id))),
            labels=official.findings(CHEXPERT, {label: label for label in CHEXPERT.labels}, first),
            demographics=person(first, sex="Sex", age="Age"),
        )

    def _folder(self, folder: str, patient: str) -> str:
        """Where a patient's studies are, below the root."""
        if self._homes[folder] is None and folder == "train" and patient in self._batches:
            return f"{self._batches[patient]}/{patient}"
        return f"{self._homes[folder] or '.'}/{folder}/{patient}"

    def _listed(self, row: Row) -> list[Row]:
        """A row for each image in the folder of a study, for the table that doesn't name them."""
        study = self._root / self._folder(row["folder"], row["patient"]) / row["study"]
        names = sorted(file.name for file in study.iterdir()) if study.is_dir() else []
        matches = [match for name in names if (match := re.fullmatch(_FILE, name))]
        return [{**row, "file": match[0], **match.groupdict()} for match in matches]

    def _image(self, split: str, row: Row) -> Image:
        folder = self._folder(row["folder"], row["patient"])
        source = f"{self._files[split]}, row {row[ROW]}"
        shown = view(row.get("Frontal/Lateral") or row["side"], row.get("AP/PA", ""))
        image = images.from_file(self._root, f"{folder}/{row['study']}/{row['file']}", shown, source)
        image_id = f"{row['folder']}/{row['patient']}/{row['study']}/{row['file']}"  # wherever the folder lies
        return replace(image, image_id=image_id)


def view(side: str, projection: str) -> str:
    """The view that CheXpert's columns Frontal/Lateral and AP/PA say; "FRONTAL" where it is neither AP nor PA."""
    if side.strip().lower() == "lateral":
        return "LATERAL"
    return projection.strip().upper() if projection.strip().upper() in ("AP", "PA") else "FRONTAL"
