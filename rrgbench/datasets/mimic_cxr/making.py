"""Write a synthetic tree in MIMIC-CXR's layout: drawings and reports of ``phantom``, ids and dates invented."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import PIL.Image
import PIL.ImageOps

from rrgbench.datasets.mimic_cxr.labels import FILES, RENAMED
from rrgbench.datasets.mimic_cxr.layout import METADATA, SPLIT
from rrgbench.datasets.phantom import Phantom
from rrgbench.errors import UsageError
from rrgbench.labelers.rules import RuleLabeler
from rrgbench.labels import CHEXPERT
from rrgbench.text.mimic_section_tables import MISNAMED, RANGES
from rrgbench.text.mimic_sections import LAST_PARAGRAPH, label_text, parse
from rrgbench.types import Status, Study

MARK = "SYNTHETIC.txt"  # its presence says that the tree was made here
SIZE = 128  # pixels a side

_MISNAMED = MISNAMED["indication"][0]
_RANGE = "s59330497"
_SILENT = next(study for study, span in RANGES.items() if span == (0, 0))
_SPECIAL = {5: _MISNAMED, 8: _RANGE, 11: _SILENT}  # which study of the tree gets the id of an exception

# What a study of each kind is made of: the views besides the frontal one, as the file names them.
_MORE_VIEWS = (("LATERAL",), (), ("LL",), ("AP",))
_MEANING = {"PA": "postero-anterior", "AP": "antero-posterior", "LATERAL": "lateral", "LL": "left lateral", "": ""}
_COLUMNS = sorted(CHEXPERT.labels)  # the order of the label files
_TOLD = ("findings", "impression", LAST_PARAGRAPH)
_CELLS = {Status.PRESENT: "1.0", Status.ABSENT: "0.0", Status.UNCERTAIN: "-1.0", Status.NOT_MENTIONED: ""}


@dataclass(frozen=True)
class _Made:
    """A study of the tree: its ids without the letters, its images by id with their view, its report."""

    study: str
    patient: str
    source: Study
    date: str
    time: str
    procedure: str
    views: Mapping[str, str]
    report: str

    @property
    def folder(self) -> str:
        return f"p{self.patient[:2]}/p{self.patient}"


def make(folder: Path, studies: int = 60, seed: int = 0) -> None:
    """Write a tree of MIMIC-CXR-JPG with MIMIC-CXR's reports below an empty folder.

    It has several views a study, second studies of a patient (some on the same day), reports with both sections, with
    an impression alone and with neither, and from 12 studies on three of the hand-made exceptions. The labels "by
    CheXpert" are those of the labeler rulelabel on the text that MIMIC labels, "by NegBio" on all that is said, the
    radiologist's the drawing's own, of half of the test studies. There is no lateral drawing: such an image is the
    frontal one, narrowed. Raises UsageError for a folder that is not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: there is something already; name a folder that is new or empty.")
    made = list(_studies(studies, seed))
    for study in made:
        _write_images(folder, study)
        report = folder / "mimic-cxr-reports" / "files" / study.folder / f"s{study.study}.txt"
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(study.report, encoding="utf-8")
    _write_image_tables(folder, made)
    _write_label_tables(folder, made)
    (folder / MARK).write_text(
        "Made by `rrgbench data make`, drawn and written by code: nothing here comes from a patient.\n",
        encoding="utf-8",
    )


def _studies(count: int, seed: int) -> Iterator[_Made]:
    rng = np.random.default_rng((seed, 377_110))
    sources = list(Phantom(n=count, seed=seed, size=SIZE).load(None))
    taken = {int(study[1:]) for study in RANGES} | {int(s[1:]) for studies in MISNAMED.values() for s in studies}
    drawn = 50_000_000 + rng.choice(10_000_000, len(sources) + len(taken), replace=False)
    ids = [f"s{number}" for number in drawn if number not in taken]
    patients = list(dict.fromkeys(source.patient_id for source in sources))
    numbers = np.sort(10_000_000 + rng.choice(10_000_000, len(patients), replace=False))
    patient = dict(zip(patients, map(str, numbers), strict=True))
    first: dict[str, int] = {}
    for at, source in enumerate(sources):
        study = _SPECIAL.get(at, ids[at])
        views = [(source.images[0].view or "") if at % 9 else "", *_MORE_VIEWS[at % 4]]
        procedure = "CHEST (PA AND LAT)" if views[-1] in ("LATERAL", "LL") else "CHEST (PORTABLE AP)"
        # A second study comes on the same day, an hour later (as text 95959 would come after 105959), or 40 days later.
        year = first.setdefault(source.patient_id, int(rng.integers(2110, 2200)))
        again = source.prior is not None
        later = again and at % 2 == 0
        yield _Made(
            study=study[1:],
            patient=patient[source.patient_id],
            source=source,
            date=f"{year}{'0610' if later else '0501'}",
            time=f"{105959 if again else 95959}.{int(rng.integers(1000)):03d}",
            procedure=procedure,
            views={_dicom_id(rng): view for view in views},
            report=_report(study, at, source, procedure),
        )


def _dicom_id(rng: np.random.Generator) -> str:
    return "-".join(f"{int(part):08x}" for part in rng.integers(2**32, size=5))


def _report(study: str, at: int, source: Study, procedure: str) -> str:
    said = {name: re.sub(r"\d+(?=-year-old)", "___", text) for name, text in source.sections.items()}
    whole = f"{said['findings']} {said['impression']}"
    title = f"{'FINAL REPORT':>45}\n"
    if study == _SILENT:
        return title + " ___\n"
    if study == _RANGE:
        start, end = RANGES[_RANGE]
        top = (title + _heading("EXAMINATION", procedure) + " ").ljust(start, "_")
        return top + textwrap.shorten(whole, end - start, placeholder="").ljust(end - start) + "\n"
    if study == _MISNAMED:
        return title + _heading("INDICATION", f"{said['indication']} {whole}")
    pieces = [
        _heading("EXAMINATION", procedure),
        _heading("HISTORY" if at % 5 == 1 else "INDICATION", said["indication"]),
    ]
    if at % 10 == 7:
        return title + " \n".join([*pieces, _wrapped(whole) + "\n"])
    pieces.append(_heading("TECHNIQUE", "Chest, " + ("PA and lateral." if "LAT" in procedure else "AP.")))
    pieces.append(_heading("COMPARISON", "Chest radiograph ___." if source.prior else "None."))
    if at % 6 != 4:
        pieces.append(f" FINDINGS: \n \n{_wrapped(said['findings'])}\n")
    pieces.append(f" IMPRESSION: \n \n{_wrapped(said['impression'])}\n")
    return title + " \n".join(pieces)


def _heading(name: str, text: str) -> str:
    return _wrapped(f"{name}:  {text}") + "\n"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 78, initial_indent=" ", subsequent_indent=" ", break_on_hyphens=False)


def _width(view: str) -> int:
    return SIZE * 3 // 5 if view in ("LATERAL", "LL") else SIZE


def _write_images(folder: Path, study: _Made) -> None:
    target = folder / "files" / study.folder / f"s{study.study}"
    target.mkdir(parents=True, exist_ok=True)
    pixels = (study.source.images[0].read() * 255).round().astype(np.uint8)
    drawing = PIL.ImageOps.equalize(PIL.Image.fromarray(pixels))  # MIMIC-CXR-JPG is histogram-equalised, quality 95
    for number, (dicom, view) in enumerate(study.views.items()):
        image = drawing
        if view in ("LATERAL", "LL"):
            image = drawing.resize((_width(view), SIZE))
        elif number:
            image = drawing.crop((4, 4, SIZE - 4, SIZE - 4)).resize((SIZE, SIZE))
        image.save(target / f"{dicom}.jpg", quality=95)


def _write_image_tables(folder: Path, made: list[_Made]) -> None:
    images = [(study, dicom, view) for study in made for dicom, view in sorted(study.views.items())]
    split = [
        {"dicom_id": dicom, "study_id": s.study, "subject_id": s.patient, "split": s.source.split}
        for s, dicom, _ in images
    ]
    metadata = [
        {
            "dicom_id": dicom,
            "subject_id": s.patient,
            "study_id": s.study,
            "PerformedProcedureStepDescription": s.procedure,
            "ViewPosition": view,
            "Rows": SIZE,
            "Columns": _width(view),
            "StudyDate": s.date,
            "StudyTime": s.time,
            "ProcedureCodeSequence_CodeMeaning": s.procedure,
            "ViewCodeSequence_CodeMeaning": _MEANING[view],
            "PatientOrientationCodeSequence_CodeMeaning": "Erect",
        }
        for s, dicom, view in images
    ]
    names = [f"files/{s.folder}/s{s.study}/{dicom}.jpg" for s, dicom, _ in images]
    _write(folder / f"{SPLIT}.gz", split)
    _write(folder / f"{METADATA}.gz", metadata)
    (folder / "IMAGE_FILENAMES").write_text("\n".join(names) + "\n", encoding="utf-8")


def _write_label_tables(folder: Path, made: list[_Made]) -> None:
    sections = {s.study: parse(s.report, f"s{s.study}") for s in made}
    labelled = [s for s in made if label_text(sections[s.study])]
    texts = {
        "chexpert": [label_text(sections[s.study]) or "" for s in labelled],
        "negbio": [" ".join(sections[s.study].get(name, "") for name in _TOLD) for s in labelled],
    }
    for source in texts:
        found = RuleLabeler().label(texts[source]).map(_CELLS.__getitem__)
        cells = [{label: row[label] for label in _COLUMNS} for _, row in found.iterrows()]
        rows = [{"subject_id": s.patient, "study_id": s.study, **c} for s, c in zip(labelled, cells, strict=True)]
        _write(folder / f"{FILES[source]}.gz", rows)
    test = [s for s in made if s.source.split == "test"]
    if read := test[: (len(test) + 1) // 2]:
        _write(folder / FILES["radiologist"], [{"study_id": s.study, **_truth(s.source)} for s in read])


def _truth(study: Study) -> dict[str, str]:
    assert study.labels  # phantom labels every study
    return {RENAMED.get(label, label): _CELLS[study.labels.status(label)] for label in _COLUMNS}


def _write(file: Path, rows: Sequence[Mapping[str, object]]) -> None:
    compression = {"method": "gzip", "mtime": 0} if file.suffix == ".gz" else None  # the same bytes every time
    pd.DataFrame(rows).to_csv(file, index=False, compression=compression)
