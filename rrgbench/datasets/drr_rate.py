"""``drr-rate``: DRR-RATE (Hou et al., 2024): radiographs reconstructed from CT-RATE's chest CTs, with their reports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rrgbench import images, roots
from rrgbench.cache import digest, file_digest
from rrgbench.datasets import drawn, official
from rrgbench.datasets.rows import ROW, Row, grouped, numbers, person, pieces, with_priors
from rrgbench.errors import UsageError, did_you_mean
from rrgbench.labels import DRR_RATE
from rrgbench.types import Image, Status, Study

# Each split's labels, reports and metadata; the last two may be absent (the dataset's README names all six).
TABLES = {
    "train": (
        "multi_abnormality_labels/train_predicted_labels.csv",
        "radiology_text_reports/train_reports.csv",
        "metadata/train_metadata.csv",
    ),
    "validate": (
        "multi_abnormality_labels/valid_predicted_labels.csv",
        "radiology_text_reports/validation_reports.csv",
        "metadata/validation_metadata.csv",
    ),
}
SECTIONS = {
    "ClinicalInformation_EN": "history",
    "Technique_EN": "technique",
    "Findings_EN": "findings",
    "Impressions_EN": "impression",
}
_METADATA = ("PatientSex", "PatientAge", "StudyDate")
_IDS = ("ImageName", "VolumeName")  # DRR-RATE's name of the column, and CT-RATE's
# What of the phantom's labels a drawn tree gives for one of these.
_DRAWN_AS = {
    "Medical material": "Support Devices",
    "Cardiomegaly": "Cardiomegaly",
    "Atelectasis": "Atelectasis",
    "Lung nodule": "Lung Lesion",
    "Lung opacity": "Lung Opacity",
    "Pleural effusion": "Pleural Effusion",
    "Consolidation": "Consolidation",
}
_NAME = (
    r"(?P<image>(?P<study_id>(?P<patient_id>(?P<folder>train|valid)_\d+)_[a-z]+)_(?P<number>\d+))(?:\.png|\.nii\.gz)?"
)
_EXAMPLE = "train_1_a_1.png"


class DRRRate:
    """DRR-RATE: ``drr-rate:root=FOLDER``, the folder that holds multi_abnormality_labels/, train/ and valid/.

    A study is a CT scan (``train_1_a``); its images are the radiographs of each of its reconstructions, AP first,
    then LATERAL where they are there. Reports and labels are those of the CT.
    """

    version = "1"
    terms = "private"  # the reports and labels are CT-RATE's, which are given for academic use and confidentially
    vocabulary = DRR_RATE
    # Hou et al. 2024, abstract: 50,188 frontal radiographs, 21,304 patients; CT-RATE: 25,692 scans, of which 1,564 of
    # 1,304 patients validate (its discussion 65). Lateral images are not counted in the paper, so images aren't here.
    official = {
        "train": {"studies": 24128, "patients": 20000},
        "validate": {"studies": 1564, "patients": 1304},
    }

    def __init__(self, root: Path) -> None:
        self._root = roots.folder(root, "drr-rate")
        self.synthetic = drawn.is_marked(self._root)
        files = {
            split: [official.find(self._root, name, required=False) for name in names]
            for split, names in TABLES.items()
        }
        self._files = {split: found for split, found in files.items() if found[0]}
        if not self._files:
            raise UsageError(f"{root}: neither {TABLES['train'][0]} nor {TABLES['validate'][0]} is there.")
        self.splits = tuple(self._files)
        there = [file_digest(file) for found in self._files.values() for file in found if file]
        self.signature = f"files:{digest(there)[:12]}"
        self._frames: dict[str, pd.DataFrame] = {}

    def load(self, split: str | None) -> Iterator[Study]:
        """The studies of a split by patient, and then by date."""
        if split is not None and split not in self.splits:
            hint = did_you_mean(split, self.splits)
            raise UsageError(f"drr-rate has no split {split!r} in {self._root}; it has {', '.join(self.splits)}.{hint}")
        return with_priors(self._dated(self.splits if split is None else (split,)))

    def notes(self) -> list[str]:
        """The licence, what the labels and reports are of, and what is not known."""
        return [
            "CC BY-NC-SA 4.0: not for commercial use. Labels, reports and metadata are CT-RATE's, which has terms of"
            " its own: academic use, data kept confidential, no redistribution.",
            "Reports and labels describe the CT; much of what they say can't be seen on a radiograph. Labels were"
            " taken from the reports by a classifier.",
            "A study is a CT scan with all its reconstructions. The paper scores each of the 50,188 frontal images"
            " for itself; to do so, count images.",
            "Six labels have a counterpart among CheXpert's 14: Atelectasis, Cardiomegaly, Consolidation, Lung nodule"
            " (Lung Lesion), Lung opacity, Pleural effusion (Hou et al.); the other twelve have none.",
            "That bone is bright in the images is unverified. The prior study is the one before by StudyDate of the"
            " metadata; without it there is none.",
        ]

    def problems(self) -> list[str]:
        """Tables that are not there, splits without an image, scans whose reconstructions have other labels."""
        out = []
        for split, names in TABLES.items():
            found = self._files.get(split, [None] * len(names))
            out += [f"{name} is not there" for name, file in zip(names, found, strict=True) if not file]
        for split in self.splits:
            frame = self._frame(split)
            folder = frame["folder"].iloc[0]
            if not (self._root / folder / "AP").is_dir():
                out.append(f"there is no image of the split {split}: {folder}/AP is not there")
            codes = pd.DataFrame({label: frame[label].cat.codes for label in DRR_RATE.labels})
            differ = int(codes.groupby(frame["study_id"]).nunique().gt(1).any(axis=1).sum())
            if differ:
                out.append(
                    f"{differ} scans of {split} have reconstructions with other labels; the first one's are kept"
                )
        return out

    @staticmethod
    def make(folder: Path, studies: int, seed: int) -> None:
        """Write a synthetic tree: the six tables, and PNG images AP and LATERAL of one or two reconstructions."""
        root = drawn.empty(folder)
        tables: dict[str, list[dict[str, Any]]] = {name: [] for names in TABLES.values() for name in names}
        for study in drawn.studies(studies, seed):
            assert study.labels is not None
            split, short = ("train", "train") if study.split == "train" else ("validate", "valid")
            marks: dict[str, Any] = dict.fromkeys(DRR_RATE.labels, 0)
            for label, other in _DRAWN_AS.items():
                marks[label] = int(study.labels.status(other) is Status.PRESENT)
            scan = f"{short}_{drawn.number(study) + 1}_{'ab'[drawn.visit(study) - 1]}"
            for number in range(1, len(drawn.views(study, seed)) + 1):
                name = f"{scan}_{number}.png"
                for view in ("AP", "LATERAL"):
                    drawn.picture(study, view, root / short / view / scan.rsplit("_", 1)[0] / scan / name)
                report: dict[str, Any] = {
                    "ClinicalInformation_EN": study.sections["indication"],
                    "Technique_EN": "Not given.",
                    "Findings_EN": study.sections["findings"],
                    "Impressions_EN": study.sections["impression"],
                }
                metadata: dict[str, Any] = {
                    "PatientSex": study.demographics["sex"],
                    "PatientAge": f"{study.demographics['age']:03d}Y",
                    "StudyDate": 20200000 + 101 * drawn.visit(study),
                }
                for table, row in zip(TABLES[split], (marks, report, metadata), strict=True):
                    tables[table].append({"ImageName": name, **row})
        drawn.mark(root, seed)
        for names in TABLES.values():
            for name, columns in zip(names, (DRR_RATE.labels, SECTIONS, _METADATA), strict=True):
                drawn.table(root / name, ("ImageName", *columns), tables[name])

    def _dated(self, splits: tuple[str, ...]) -> Iterator[tuple[float, Study]]:
        for split in splits:
            for rows in grouped(self._frame(split), "study_id"):
                yield rows[0]["when"], self._study(split, rows)

    def _frame(self, split: str) -> pd.DataFrame:
        """A row an image, by patient, by date, by number."""
        if split not in self._frames:
            labels, reports, metadata = self._files[split]
            assert labels is not None
            columns = official.label_columns(labels, DRR_RATE)
            frame = _table(labels, tuple(columns.values()))
            official.check_labels(frame, labels, columns)
            frame = frame.rename(columns={column: label for label, column in columns.items()})
            frame[ROW] = range(1, len(frame) + 1)
            frame["when"] = np.nan
            if reports:
                frame = frame.join(_table(reports, tuple(SECTIONS))[list(SECTIONS)], on="image")
            if metadata:
                known = _table(metadata, _METADATA)
                known["when"] = numbers(known["StudyDate"], metadata)
                frame = frame.drop(columns="when").join(known[["PatientSex", "PatientAge", "when"]], on="image")
            number = frame["number"].astype(int)
            self._frames[split] = frame.assign(number=number).sort_values(["patient_id", "when", "study_id", "number"])
        return self._frames[split]

    def _study(self, split: str, rows: list[Row]) -> Study:
        first = rows[0]
        texts = {name: first.get(column) for column, name in SECTIONS.items()}
        laterals = (self._root / first["folder"] / "LATERAL").is_dir()
        return Study(
            study_id=first["study_id"],
            patient_id=first["patient_id"],
            split=split,
            images=tuple(self._image(split, row, view) for view in ("AP", "LATERAL")[: 1 + laterals] for row in rows),
            sections={name: text.strip() for name, text in texts.items() if isinstance(text, str) and text.strip()},
            labels=official.findings(DRR_RATE, {label: label for label in DRR_RATE.labels}, first),
            demographics=person(first, sex="PatientSex", age="PatientAge"),
        )

    def _image(self, split: str, row: Row, view: str) -> Image:
        name = f"{row['folder']}/{view}/{row['patient_id']}/{row['study_id']}/{row['image']}.png"
        return images.from_file(self._root, name, view, f"{self._files[split][0]}, row {row[ROW]}")


def _table(file: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """A table with the pieces of its images' names, indexed by the image."""
    there = official.header(file)
    name = next((name for name in _IDS if name in there), _IDS[0])
    frame = official.read_columns(file, (name, *columns))
    found = pieces(frame[name], _NAME, file, _EXAMPLE)
    return frame.join(found).set_index("image", drop=False).rename_axis(None)
