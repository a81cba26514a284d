"""Label vocabularies, and the maps between them. Labels are names, never positions.

Four orders of CheXpert's 14 are in use (CheXpert's files, chexpert-labeler, CheXbert, MIMIC-CXR-JPG), so anything
that reads a file looks up its columns by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from rrgbench.types import Finding, Findings, Status, Vocabulary

NO_FINDING = "No Finding"
SUPPORT_DEVICES = "Support Devices"

# The order of the columns of CheXpert's train.csv (Irvin et al., AAAI 2019).
CHEXPERT = Vocabulary(
    "chexpert",
    (
        NO_FINDING,
        "Enlarged Cardiomediastinum",
        "Cardiomegaly",
        "Lung Opacity",
        "Lung Lesion",
        "Edema",
        "Consolidation",
        "Pneumonia",
        "Atelectasis",
        "Pneumothorax",
        "Pleural Effusion",
        "Pleural Other",
        "Fracture",
        SUPPORT_DEVICES,
    ),
)

# The five of the CheXpert competition (Irvin et al., section 5), which CheXbert's "top 5" repeats.
CHEXPERT_5 = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")

# ChestX-ray14 (Wang et al., CVPR 2017, and the release notes that add six labels to its eight).
NIH = Vocabulary(
    "nih",
    (
        "Atelectasis",
        "Cardiomegaly",
        "Effusion",
        "Infiltration",
        "Mass",
        "Nodule",
        "Pneumonia",
        "Pneumothorax",
        "Consolidation",
        "Edema",
        "Emphysema",
        "Fibrosis",
        "Pleural_Thickening",
        "Hernia",
    ),
)

# CT-RATE's 18, in the order of assets/drr-rate_croissant.json of farrell236/DRR-RATE.
DRR_RATE = Vocabulary(
    "drr-rate",
    (
        "Medical material",
        "Arterial wall calcification",
        "Cardiomegaly",
        "Pericardial effusion",
        "Coronary artery wall calcification",
        "Hiatal hernia",
        "Lymphadenopathy",
        "Emphysema",
        "Atelectasis",
        "Lung nodule",
        "Lung opacity",
        "Pulmonary fibrotic sequela",
        "Pleural effusion",
        "Mosaic attenuation pattern",
        "Peribronchial thickening",
        "Consolidation",
        "Bronchiectasis",
        "Interlobular septal thickening",
    ),
)

PART = "-part"  # ends the name of a vocabulary that lacks some labels of a known one

VOCABULARIES = {vocabulary.name: vocabulary for vocabulary in (CHEXPERT, NIH, DRR_RATE)}

# From a label to the labels of another vocabulary that together mean the same; what is not listed has no counterpart.
# NIH's Mass and Nodule are CheXpert's Lung Lesion (its mention phrases list both). Infiltration, Pleural_Thickening,
# Emphysema, Fibrosis and Hernia are not: CheXpert's Lung Opacity and Pleural Other hold more than they do.
# Of DRR-RATE's eighteen the six that its authors score with CheXpert's classes have one (farrell236/DRR-RATE).
_SAME = ("Atelectasis", "Cardiomegaly", "Pneumonia", "Pneumothorax", "Consolidation", "Edema")
COUNTERPARTS: dict[tuple[str, str], dict[str, tuple[str, ...]]] = {
    ("nih", "chexpert"): {
        **{label: (label,) for label in _SAME},
        "Pleural Effusion": ("Effusion",),
        "Lung Lesion": ("Mass", "Nodule"),
    },
    ("drr-rate", "chexpert"): {
        **{label: (label,) for label in ("Atelectasis", "Cardiomegaly", "Consolidation")},
        "Lung Lesion": ("Lung nodule",),
        "Lung Opacity": ("Lung opacity",),
        "Pleural Effusion": ("Pleural effusion",),
    },
}


def snake(label: str) -> str:
    """A label as it stands in a score's name: ``Pleural Effusion`` is ``pleural_effusion``."""
    return re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")


def counterparts(source: Vocabulary, target: Vocabulary) -> dict[str, tuple[str, ...]]:
    """For each label of ``target`` that has one: the labels of ``source`` that together mean the same.

    A part of a known vocabulary translates as far as it goes; an unknown pair shares the labels of the same name.
    """
    names = (_whole(source), _whole(target))
    same = {label: (label,) for label in target.labels}
    table = COUNTERPARTS.get(names, same) if names[0] != names[1] else same
    return {
        label: sources
        for label, sources in table.items()
        if label in target and all(piece in source for piece in sources)
    }


def _whole(vocabulary: Vocabulary) -> str:
    """The name of the known vocabulary that this one is, or is a part of; else its own."""
    for known in VOCABULARIES.values():
        if known.name == vocabulary.name.removesuffix(PART) and set(vocabulary.labels) <= set(known.labels):
            return known.name
    return vocabulary.name


def part_of(labels: Sequence[str]) -> Vocabulary | None:
    """The known vocabulary that has all these labels: itself if it has no other, else the part of it that they are."""
    asked = {snake(label) for label in labels}
    for known in sorted(VOCABULARIES.values(), key=lambda v: asked != {snake(label) for label in v.labels}):
        found = tuple(label for label in known.labels if snake(label) in asked)
        if len(found) == len(asked):
            return known if len(found) == len(known) else Vocabulary(known.name + PART, found)
    return None


def any_of(statuses: Iterable[Status]) -> Status:
    """One status for several labels that together mean one: present wins, then uncertain, then not mentioned."""
    found = set(statuses)
    for status in (Status.PRESENT, Status.UNCERTAIN, Status.NOT_MENTIONED):
        if status in found:
            return status
    return Status.ABSENT


def translate(findings: Findings, target: Vocabulary) -> Findings:
    """Findings in another vocabulary; labels without a counterpart are not assessed there."""
    table = counterparts(findings.vocabulary, target)
    out = {}
    for label, sources in table.items():
        known = [findings.by_label[source] for source in sources if source in findings.by_label]
        if len(known) < len(sources):
            continue
        probabilities = [f.probability for f in known if f.probability is not None]
        out[label] = Finding(
            label,
            any_of(f.status for f in known),
            probability=max(probabilities) if probabilities else None,
            side=known[0].side if len(known) == 1 else None,
            severity=known[0].severity if len(known) == 1 else None,
            boxes=tuple(box for f in known for box in f.boxes),
        )
    return Findings(target, out)
