"""``nih-cxr14``: NIH ChestX-ray14 (Wang et al., CVPR 2017): frontal images, 14 labels, some boxes, no reports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path

import pandas as pd

from rrgbench import images, quoting, roots
from rrgbench.cache import digest, file_digest
from rrgbench.datasets import drawn, official
from rrgbench.datasets.rows import ROW, Row, numbers, person, pieces, with_priors
from rrgbench.errors import UsageError, did_you_mean
from rrgbench.labels import NIH, NO_FINDING
from rrgbench.types import Box, Finding, Findings, Status, Study

TABLES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
LISTS = {"train": "train_val_list.txt", "test": "test_list.txt"}
BOXES = "BBox_List_2017.csv"
SIDE = 1024  # pixels of the released images, in which the boxes are given
VALIDATE = 8  # one in so many patients of the official train_val list: 10 % of all, as Wang et al. split their own

_COLUMNS = ("Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age", "View Position")
_SEX = ("Patient Gender", "Patient Sex")  # in the table of 2017, in that of 2020
_BOX = ("Bbox [x", "y", "w", "h]")  # the header says Bbox [x,y,w,h], without quotes: four columns
_SAID_OTHERWISE = {"Infiltrate": "Infiltration"}  # by the boxes' table
_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)
# What of the phantom's labels a drawn tree gives for one of these.
_DRAWN_AS = {
    "Atelectasis": "Atelectasis",
    "Cardiomegaly": "Cardiomegaly",
    "Effusion": "Pleural Effusion",
    "Infiltration": "Lung Opacity",
    "Nodule": "Lung Lesion",
    "Pneumonia": "Pneumonia",
    "Pneumothorax": "Pneumothorax",
    "Consolidation": "Consolidation",
    "Edema": "Edema",
    "Pleural_Thickening": "Pleural Other",
}
_NAME = r"(?P<study_id>\d{8}_\d{3})\.png"
_EXAMPLE = "00000001_000.png"


class NIHCXR14:
    """NIH ChestX-ray14: ``nih-cxr14:root=FOLDER``, the folder that holds Data_Entry_2017_v2020.csv (or ..._2017.csv).

    Each image is a study, named as its file without ``.png``; the images lie in images/ or in images_001/images to
    images_012/images. train_val_list.txt and test_list.txt give the splits, of which the first is parted by patient
    into train and validate. There are no reports.
    """

    version = "1"
    terms = "open"  # no restrictions on use; name the NIH Clinical Center and cite Wang et al.
    vocabulary = NIH
    # The release's README and its two lists; train and validate together are 86,524 images.
    official = {
        None: {"images": 112120, "studies": 112120, "patients": 30805},
        "test": {"images": 25596, "studies": 25596},
    }

    def __init__(self, root: Path) -> None:
        self._root = roots.folder(root, "nih-cxr14")
        self.synthetic = drawn.is_marked(self._root)
        table = official.find(self._root, *TABLES)
        assert table is not None
        self._table = table
        lists = {split: official.find(self._root, name, required=False) for split, name in LISTS.items()}
        self._lists = {split: file for split, file in lists.items() if file}
        self._box_file = official.find(self._root, BOXES, required=False)
        first = ("train", "validate") if "train" in self._lists else ()
        self.splits = (*first, *(("test",) if "test" in self._lists else ()))
        files = [self._table, *self._lists.values(), *([self._box_file] if self._box_file else [])]
        self.signature = f"files:{digest([file_digest(file) for file in files])[:12]}"

    def load(self, split: str | None) -> Iterator[Study]:
        """The studies of a split by patient, and then by follow-up."""
        if split is not None and split not in self.splits:
            there = f"it has {', '.join(self.splits)}" if self.splits else f"{' and '.join(LISTS.values())} give them"
            raise UsageError(
                f"nih-cxr14 has no split {split!r} in {self._root}; {there}.{did_you_mean(split, self.splits)}"
            )
        frame = self._frame if split is None else self._frame[self._frame["split"] == split]
        names = [str(name) for name in frame.columns]
        rows = (dict(zip(names, cells, strict=True)) for cells in frame.itertuples(index=False, name=None))
        return with_priors((row["when"], self._study(row)) for row in rows)

    def notes(self) -> list[str]:
        """How the splits are made, and what the labels are."""
        return [
            "The official split is train_val and test, by patient. Here train_val is parted by the hash of the patient"
            f" id: one patient in {VALIDATE} is in validate. Other papers part it otherwise.",
            "Labels were mined from reports that are not published (Wang et al. estimate 90 % right): what is not"
            " named is taken as absent. Boxes are a radiologist's, on about 900 images.",
            "The prior study is the one of the follow-up number before; that these follow the date is unverified.",
            "Ages above 120 years, of which the table of 2017 has some, are left out.",
        ]

    def problems(self) -> list[str]:
        """Lists that are not there, images in one of them only, in no list or nowhere, boxes of no label of theirs."""
        out = [f"{name} is not there: no split {split}" for split, name in LISTS.items() if split not in self._lists]
        frame = self._frame
        if self.splits and (unlisted := int(frame["split"].isna().sum())):
            out.append(f"{unlisted} of {len(frame)} images are in no list, so in no split")
        if absent := int((~frame["Image Index"].isin(list(self._folders))).sum()):
            out.append(f"{absent} of {len(frame)} images are neither in images/ nor in images_001/images, …")
        known = set(frame["Image Index"])
        for file in self._lists.values():
            if strangers := sorted(_listed(file) - known):
                some = quoting.name(strangers[0])
                out.append(f"{len(strangers)} images of {file.name} are not in {self._table.name}, such as {some}")
        labelled = dict(zip(frame["Image Index"], frame["Finding Labels"], strict=True))
        told = [(name, label) for name, boxes in self._boxes.items() for label in boxes if name in labelled]
        if alien := sum(label not in labelled[name].split("|") for name, label in told):
            out.append(f"{alien} boxes are of a label that their image doesn't have; they are left out")
        return out

    @staticmethod
    def make(folder: Path, studies: int, seed: int) -> None:
        """Write a synthetic tree: the table, the two lists, boxes and PNG images in images_001/images."""
        root = drawn.empty(folder)
        columns = _HEADER.split(",")
        rows, boxes = [], []
        lists: dict[str, list[str]] = {split: [] for split in LISTS}
        for study in drawn.studies(studies, seed):
            assert study.labels is not None
            name = f"{drawn.number(study) + 1:08d}_{drawn.visit(study) - 1:03d}.png"
            drawn.picture(study, "PA", root / "images_001" / "images" / name)
            found = {label: study.labels.by_label[other] for label, other in _DRAWN_AS.items()}
            present = {label: finding for label, finding in found.items() if finding.status is Status.PRESENT}
            known = (
                name,
                "|".join(present) or NO_FINDING,
                drawn.visit(study) - 1,
                drawn.number(study) + 1,
                study.demographics["age"],
                study.demographics["sex"],
                study.images[0].view,
            )
            rows.append(dict(zip(columns, known, strict=False)))
            if drawn.number(study) % 5 == 0:
                for label, finding in present.items():
                    said = {"Infiltration": "Infiltrate"}.get(label, label)
                    for box in finding.boxes:
                        sides = (box.x, box.y, box.width, box.height)
                        pixels = dict(zip(_BOX, (SIDE * side for side in sides), strict=True))
                        boxes.append({"Image Index": name, "Finding Label": said, **pixels})
            lists["test" if study.split == "test" else "train"].append(name)
        drawn.mark(root, seed)
        drawn.table(root / TABLES[1], columns, rows)
        drawn.table(root / BOXES, ("Image Index", "Finding Label", *_BOX, "", "", ""), boxes)
        for split, names in lists.items():
            (root / LISTS[split]).write_text("".join(f"{name}\n" for name in names), encoding="utf-8")

    @cached_property
    def _frame(self) -> pd.DataFrame:
        """A row an image, by patient and then by follow-up."""
        there = official.header(self._table)
        sex = next((name for name in _SEX if name in there), _SEX[0])
        frame = official.read_columns(self._table, (*_COLUMNS, sex))
        frame = frame.rename(columns={sex: "Patient Gender"})
        frame = frame.join(pieces(frame["Image Index"], _NAME, self._table, _EXAMPLE))
        frame[ROW] = range(1, len(frame) + 1)
        frame["when"] = numbers(frame["Follow-up #"], self._table)
        for labels in frame["Finding Labels"].cat.categories:
            if unknown := [label for label in labels.split("|") if label not in (*NIH.labels, NO_FINDING)]:
                row = int((frame["Finding Labels"] == labels).argmax()) + 1
                hint = did_you_mean(unknown[0], NIH.labels)
                raise UsageError(
                    f"{self._table}, row {row}: {quoting.cell(unknown[0])} is no label of ChestX-ray14.{hint}"
                )
        names = {split: _listed(file) for split, file in self._lists.items()}
        if both := set.intersection(*names.values()) if len(names) == len(LISTS) else set():
            raise UsageError(f"{self._root}: the image {min(both)} is in both {' and '.join(LISTS.values())}.")
        frame["split"] = None
        for split, listed in names.items():
            frame.loc[frame["Image Index"].isin(list(listed)), "split"] = split
        held_out = [patient for patient in frame["Patient ID"].cat.categories if _is_held_out(patient)]
        frame.loc[(frame["split"] == "train") & frame["Patient ID"].isin(held_out), "split"] = "validate"
        return frame.sort_values(["Patient ID", "when", "study_id"])

    @cached_property
    def _folders(self) -> dict[str, str]:
        """The folder of each image, below the root."""
        folders = [*self._root.glob("images"), *sorted(self._root.glob("images_[0-9][0-9][0-9]/images"))]
        names = {folder: str(folder.relative_to(self._root)) for folder in folders if folder.is_dir()}
        return {file.name: name for folder, name in names.items() for file in folder.iterdir()}

    @cached_property
    def _boxes(self) -> dict[str, dict[str, list[Box]]]:
        """The boxes of an image by label."""
        out: dict[str, dict[str, list[Box]]] = {}
        if self._box_file is None:
            return out
        frame = official.read_columns(self._box_file, ("Image Index", "Finding Label", *_BOX))
        sides = [numbers(frame[name], self._box_file) / SIDE for name in _BOX]
        rows = zip(frame["Image Index"], frame["Finding Label"], *sides, strict=True)
        for row, (name, label, x, y, width, height) in enumerate(rows, 1):
            if not (0 <= x < 1 and 0 <= y < 1 and width > 0 and height > 0):
                raise UsageError(f"{self._box_file}, row {row}: not a box in an image of {SIDE} pixels.")
            box = Box(float(x), float(y), float(min(width, 1 - x)), float(min(height, 1 - y)))
            out.setdefault(name, {}).setdefault(_SAID_OTHERWISE.get(label, label), []).append(box)
        return out

    def _study(self, row: Row) -> Study:
        name = row["Image Index"]
        labels = _findings(row["Finding Labels"])
        if boxes := self._boxes.get(name):
            placed = {
                label: replace(finding, boxes=tuple(boxes.get(label, ())))
                if finding.status is Status.PRESENT
                else finding
                for label, finding in labels.by_label.items()
            }
            labels = Findings(NIH, placed)
        view = row["View Position"].strip().upper() or None
        file = f"{self._folders.get(name, 'images')}/{name}"
        image = images.from_file(self._root, file, view, f"{self._table}, row {row[ROW]}")
        return Study(
            study_id=row["study_id"],
            patient_id=row["Patient ID"],
            split=row["split"],
            images=(replace(image, image_id=row["study_id"]),),
            labels=labels,
            demographics=person(row, sex="Patient Gender", age="Patient Age"),
        )


def _listed(file: Path) -> set[str]:
    try:
        return {line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()}
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: can't be read as a list of image names: {error}") from None


def _is_held_out(patient: str) -> bool:
    return int(digest("nih-cxr14", patient)[:8], 16) % VALIDATE == 0


@cache
def _findings(labels: str) -> Findings:
    """What ``Atelectasis|Effusion`` says; what is not named is absent."""
    named = labels.split("|")
    return Findings(
        NIH,
        {label: Finding(label, Status.PRESENT if label in named else Status.ABSENT) for label in NIH.labels},
    )
