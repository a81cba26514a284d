"""A synthetic tree of Open-i's layout: phantom's studies as XML reports, with PNGs and a table of splits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from rrgbench.datasets import drawn
from rrgbench.datasets.iu_xray import mesh, reports
from rrgbench.labels import SUPPORT_DEVICES
from rrgbench.types import Finding, Findings, Status, Study

_SPLIT_NAMES = {"validate": "val"}  # as R2Gen writes it

# How an annotator would code what phantom draws, so that the map finds it again.
_TERMS = {
    "Enlarged Cardiomediastinum": "Mediastinum/prominent",
    "Cardiomegaly": "Cardiomegaly",
    "Lung Opacity": "Opacity/lung",
    "Lung Lesion": "Nodule/lung",
    "Edema": "Pulmonary Edema",
    "Consolidation": "Consolidation/lung",
    "Pneumonia": "Pneumonia",
    "Atelectasis": "Pulmonary Atelectasis",
    "Pneumothorax": "Pneumothorax",
    "Pleural Effusion": "Pleural Effusion",
    "Pleural Other": "Thickening/pleura",
    "Fracture": "Fractures, Bone",
    SUPPORT_DEVICES: "Medical Device",
}


def make(folder: Path, studies: int, seed: int) -> Path:
    """Write ecgen-radiology/N.xml, NLMCXR_png/….png and r2gen_split.csv, which is returned, to an empty folder."""
    (drawn.empty(folder) / reports.FOLDER).mkdir()
    rows = []
    for number, study in enumerate(drawn.studies(studies, seed), 1):
        short = f"CXR{number}_1_IM-{number:04d}"
        image_ids = []
        for at, view in enumerate(drawn.views(study, seed), 1):
            image_ids.append(f"{short}-{at}001")
            drawn.picture(study, view, folder / "NLMCXR_png" / f"{image_ids[-1]}.png")
        tree = ElementTree.ElementTree(_report(number, study, image_ids))
        ElementTree.indent(tree, "   ")
        tree.write(folder / reports.FOLDER / f"{number}.xml", encoding="utf-8", xml_declaration=True)
        split = _SPLIT_NAMES.get(study.split or "", study.split)
        rows.append({"report_id": f"CXR{number}", "r2gen_id": short, "split": split})
    drawn.table(folder / "r2gen_split.csv", list(rows[0]), rows)
    return folder / "r2gen_split.csv"


def _report(number: int, study: Study, image_ids: Sequence[str]) -> Element:
    root = Element("eCitation")
    SubElement(root, "meta", type="rr")
    SubElement(root, "uId", id=f"CXR{number}")
    SubElement(root, "docSource").text = "CXR"
    SubElement(root, "publisher").text = reports.SYNTHETIC
    article = SubElement(SubElement(root, "MedlineCitation"), "Article")
    abstract = SubElement(article, "Abstract")
    for label in ("comparison", "indication", "findings", "impression"):
        SubElement(abstract, "AbstractText", Label=label.upper()).text = study.sections.get(label, "")
    coded = SubElement(root, "MeSH")
    for term in _terms(study.labels):
        SubElement(coded, "major").text = term
    for at, image_id in enumerate(image_ids, 1):
        image = SubElement(root, "parentImage", id=image_id)
        SubElement(image, "figureId").text = f"F{at}"
        SubElement(image, "caption").text = "Drawn, frontal and lateral"
    return root


def _terms(labels: Findings | None) -> list[str]:
    present = labels.having(Status.PRESENT) if labels else ()
    return [_term(finding) for finding in present if finding.label in _TERMS] or [mesh.NORMAL]


def _term(finding: Finding) -> str:
    return "/".join(filter(None, (_TERMS[finding.label], finding.side, finding.severity)))
