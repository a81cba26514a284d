"""``chexpert-plus``: CheXpert Plus (Chambon et al., 2024): CheXpert's images with reports, demographics and labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.json

from rrgbench import images, quoting, roots
from rrgbench.cache import digest, file_digest
from rrgbench.datasets import drawn, official
from rrgbench.datasets.chexpert import view
from rrgbench.datasets.chexpert_plus import making
from rrgbench.datasets.rows import ROW, Row, grouped, numbers, person, pieces, with_priors
from rrgbench.errors import UsageError, did_you_mean
from rrgbench.labels import CHEXPERT
from rrgbench.types import Finding, Findings, Image, Status, Study

TABLE = "df_chexpert_plus_240401.csv"
SOURCES = ("report", "findings", "impression")  # what CheXbert read to make chexbert_labels/<source>_fixed.json
SECTIONS = {
    "section_findings": "findings",
    "section_impression": "impression",
    "section_clinical_history": "history",
    "section_history": "history",
    "section_comparison": "comparison",
    "section_technique": "technique",
    "section_procedure_comments": "procedure",
    "section_narrative": "narrative",
    "section_summary": "summary",
}
PERSON = {
    "sex": "sex",
    "age": "age",
    "race": "race",
    "ethnicity": "ethnicity",
    "insurance": "insurance_type",
}
_SPLITS = {"train": "train", "valid": "validate"}
_NEEDED = (
    "path_to_image",
    "frontal_lateral",
    "ap_pa",
    "deid_patient_id",
    "patient_report_date_order",
    "section_findings",
    "section_impression",
    "split",
)
# Where the PNG archives, or CheXpert's own JPEGs, may have been unpacked to.
_FOLDERS = (".", "PNG", "PNG/PNG", "PNGs")
_PATH = (
    r"(?P<folder>train|valid)/(?P<patient>patient\d+)/study(?P<study>\d+)/view(?P<number>\d+)_(?:frontal|lateral)"
    r"\.(?:jpg|png)"
)
_STATUS = {1: Status.PRESENT, 0: Status.ABSENT, -1: Status.UNCERTAIN}
_BLANK = 9
Codes = npt.NDArray[np.int8]
_EXAMPLE = "train/patient00001/study1/view1_frontal.jpg"


class CheXpertPlus:
    """CheXpert Plus: ``chexpert-plus:root=FOLDER``, the folder that holds df_chexpert_plus_240401.csv.

    A study is a patient's folder and a study's folder (``patient00001_study1``), whatever dates its texts give: the
    table has a row an image, each with a text of its own, de-identified anew (Stanford-AIMI/chexpert-plus#13). The text
    and the labels kept are those of the image with the lowest number, view1. ``labels`` is what CheXbert read:
    ``report``, ``findings`` or ``impression``; the others are in ``labels_by_source``.
    """

    version = "1"
    terms = "credentialed"  # the Stanford research use agreement: for whoever signed it
    vocabulary = CHEXPERT
    splits = ("train", "validate")
    # Rows of the table, and Chambon et al. 2024, abstract: 187,711 studies, 64,725 patients (and 223,228 images, which
    # are train's). The test set stays private (chexpert-plus#8); public leaderboards test on "validate".
    official = {
        None: {"images": 223462, "studies": 187711, "patients": 64725},
        "train": {"images": 223228},
        "validate": {"images": 234, "studies": 200},
    }

    def __init__(self, root: Path, labels: Literal["report", "findings", "impression"] = "report") -> None:
        self._root = roots.folder(root, "chexpert-plus")
        self._source = labels
        self.synthetic = drawn.is_marked(self._root)
        table = official.find(self._root, TABLE)
        assert table is not None
        self._table = table
        names = {source: f"chexbert_labels/{source}_fixed.json" for source in SOURCES}
        found = {source: official.find(self._root, name, required=False) for source, name in names.items()}
        self._label_files = {source: file for source, file in found.items() if file}
        files = [file_digest(file) for file in (self._table, *self._label_files.values())]
        self.signature = f"files:{digest(files)[:12]}"

    def load(self, split: str | None) -> Iterator[Study]:
        """The studies of a split by patient, and then by date."""
        if split is not None and split not in self.splits:
            hint = did_you_mean(split, self.splits)
            raise UsageError(f"chexpert-plus has no split {split!r}; it has {', '.join(self.splits)}.{hint}")
        frame = self._frame if split is None else self._frame[self._frame["split"] == split]
        return with_priors((rows[0]["when"], self._study(rows)) for rows in grouped(frame, "study_id"))

    def notes(self) -> list[str]:
        """Which text and labels are kept, and what is left out."""
        frame = self._frame
        texts = pd.DataFrame({name: frame[name].cat.codes for name in SECTIONS if name in frame})
        several = int(texts.groupby(frame["study_id"]).nunique().gt(1).any(axis=1).sum())
        return [
            f"{several} of {frame['study_id'].nunique()} studies have several texts, one an image, with other dates:"
            " the text and the labels of the image with the lowest number (view1) are kept (chexpert-plus#13)."
            " Whether other loaders keep the same is unverified.",
            f"Labels are CheXbert's of the {self._source}. Where a study lacks a section, CheXbert's labels of it (No"
            " Finding, as users report) say nothing, and are left out.",
            "A report that has neither findings nor impression after the dataset's own sectioning is no reference.",
            "patient_id is deid_patient_id; the prior study is the one before by patient_report_date_order.",
        ]

    def problems(self) -> list[str]:
        """Files of labels that are not there, images that are nowhere, patients in two splits."""
        out = [f"chexbert_labels/{s}_fixed.json is not there: no labels of the {s}" for s in self._missing]
        if self._place is None:
            out.append("there are no images: none of train/, valid/, PNG/train/ and PNG/valid/ is there")
        splits = self._frame.groupby("patient_id")["split"].nunique()
        if both := splits.index[splits > 1].tolist():
            out.append(f"{len(both)} patients are in two splits, such as {both[0]}")
        return out

    @staticmethod
    def make(folder: Path, studies: int, seed: int) -> None:
        """Write a synthetic tree: the table, chexbert_labels/ and PNG images."""
        making.make(folder, studies, seed)

    @property
    def _missing(self) -> list[str]:
        return [source for source in SOURCES if source not in self._label_files]

    @cached_property
    def _frame(self) -> pd.DataFrame:
        """A row an image: by patient, by date, the images of a study by their number."""
        optional = [name for name in (*SECTIONS, *PERSON.values()) if name not in _NEEDED]
        frame = official.read_columns(self._table, _NEEDED, optional)
        path = pieces(frame["path_to_image"], _PATH, self._table, _EXAMPLE)
        frame[ROW] = range(1, len(frame) + 1)
        if (wrong := ~frame["split"].isin(list(_SPLITS))).any():
            at = int(wrong.to_numpy().argmax())
            raise UsageError(
                f"{self._table}, row {at + 1}: the split {quoting.cell(frame['split'].iloc[at])} is not train or valid."
            )
        frame["split"] = frame["split"].map(_SPLITS)
        frame["study_id"] = path["patient"] + "_study" + path["study"]
        frame["patient_id"] = (
            frame["deid_patient_id"].astype(str).where(frame["deid_patient_id"] != "", path["patient"])
        )
        frame["number"] = path["number"].astype(int)
        frame["study"] = path["study"].astype(int)
        frame["when"] = numbers(frame["patient_report_date_order"], self._table)
        for source, (paths, _) in self._labels.items():
            frame[f"{source} label"] = paths.get_indexer(pd.Index(frame["path_to_image"].astype(str)))
        frame = frame.sort_values("number", kind="stable")
        frame["when"] = frame.groupby("study_id")["when"].transform("first")  # rows of one study may have several
        return frame.sort_values(["patient_id", "when", "study", "study_id", "number"])

    @cached_property
    def _labels(self) -> dict[str, tuple[pd.Index[str], Codes]]:
        return {source: _read_labels(file) for source, file in self._label_files.items()}

    def _study(self, rows: list[Row]) -> Study:
        kept = rows[0]
        sections: dict[str, str] = {}
        for column, name in SECTIONS.items():
            if text := kept.get(column, "").strip():
                sections.setdefault(name, text)
        labels = {}
        for source, (_, codes) in self._labels.items():
            if (at := kept[f"{source} label"]) >= 0 and (source == "report" or source in sections):
                labels[source] = _findings(codes[at].tobytes())
        found = [self._image(row) for row in rows]
        return Study(
            study_id=kept["study_id"],
            patient_id=kept["patient_id"],
            split=kept["split"],
            images=tuple(sorted(found, key=lambda image: image.view == "LATERAL")),
            sections=sections,
            labels=labels.get(self._source),
            labels_by_source={source: findings for source, findings in labels.items() if findings},
            demographics=person(kept, **PERSON),
        )

    @cached_property
    def _place(self) -> tuple[str, str] | None:
        """The folder that the images are in, below the root, and how their names end: the table says .jpg."""
        for folder in _FOLDERS:
            first = next((self._root / folder).glob("[tv]*/patient*/study*/view*"), None)
            if first:
                return folder, first.suffix
        return None

    def _image(self, row: Row) -> Image:
        path = row["path_to_image"]
        folder, suffix = self._place or (".", ".png")
        name = f"{folder}/{path.rsplit('.', 1)[0]}{suffix}"
        shown = view(row["frontal_lateral"], row["ap_pa"])
        image = images.from_file(self._root, name, shown, f"{self._table}, row {row[ROW]}")
        return replace(image, image_id=path)  # whatever the files' format, and wherever they lie


def _read_labels(file: Path) -> tuple[pd.Index[str], Codes]:
    """The paths of the images and, of shape (images, 14), what CheXbert says of each. Raises UsageError."""
    try:
        with pa.input_stream(str(file), compression="gzip" if file.suffix == ".gz" else None) as stream:
            table = pyarrow.json.read_json(stream)
        for name in ("path_to_image", *CHEXPERT.labels):
            if name not in table.column_names:
                there = ", ".join(table.column_names[:20])
                raise UsageError(f"{file}: the records have no key {name!r}. There are: {there}.")
        columns = [table[label].cast(pa.float64()).fill_null(_BLANK).to_numpy() for label in CHEXPERT.labels]
        paths: pd.Index[str] = pd.Index(table["path_to_image"].cast(pa.string()).to_pandas())
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: can't be read as JSON lines: {official.plain(error)}") from None
    codes = np.stack(columns, axis=1)
    if (wrong := ~np.isin(codes, [*_STATUS, _BLANK])).any():
        at, label = (int(i) for i in np.argwhere(wrong)[0])
        raise UsageError(
            f"{file}, line {at + 1}: {CHEXPERT.labels[label]} is {codes[at, label]:g}, not 1, 0, -1 or null."
        )
    if paths.has_duplicates:
        raise UsageError(f"{file}: the image {quoting.name(paths[paths.duplicated()][0])} stands there twice.")
    return paths, codes.astype(np.int8)


@cache
def _findings(codes: bytes) -> Findings | None:
    """The findings of one row of codes; None where all are blank. Few rows differ, so each is made once."""
    said = zip(CHEXPERT.labels, np.frombuffer(codes, dtype=np.int8).tolist(), strict=True)
    found = {label: Finding(label, _STATUS[code]) for label, code in said if code != _BLANK}
    return Findings(CHEXPERT, found) if found else None
