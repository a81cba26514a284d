"""``srr``: findings under the eight headers of structured radiology reporting."""

from __future__ import annotations

from rrgbench.text import wording
from rrgbench.types import Context, Findings

# Of the SRR format (jbdel/StructEval), written exactly so, in its order. Which label stands under which is our choice:
# a hernia on a chest radiograph is mostly hiatal and seen in the mediastinum, among whose leaves SRR-BERT lists it.
HEADERS: dict[str, tuple[str, ...]] = {
    "Lungs and Airways": (
        *("Lung Opacity", "Lung Lesion", "Edema", "Consolidation", "Pneumonia", "Atelectasis"),
        *("Infiltration", "Mass", "Nodule", "Emphysema", "Fibrosis"),
        *("Lung nodule", "Lung opacity", "Pulmonary fibrotic sequela", "Mosaic attenuation pattern"),
        *("Peribronchial thickening", "Bronchiectasis", "Interlobular septal thickening"),
    ),
    "Pleura": (
        "Pneumothorax",
        "Pleural Effusion",
        "Pleural Other",
        "Effusion",
        "Pleural_Thickening",
        "Pleural effusion",
    ),
    "Cardiovascular": (
        *("Cardiomegaly", "Pericardial effusion"),
        *("Arterial wall calcification", "Coronary artery wall calcification"),
    ),
    "Hila and Mediastinum": ("Enlarged Cardiomediastinum", "Lymphadenopathy", "Hernia", "Hiatal hernia"),
    "Tubes, Catheters, and Support Devices": ("Support Devices", "Medical material"),
    "Musculoskeletal and Chest Wall": ("Fracture",),
    "Abdominal": (),
    "Other": (),
}
_OF = {label: header for header, labels in HEADERS.items() for label in labels}


class StructuredReport:
    """``Header:`` on a line, below it ``- `` and a sentence for each finding: present, uncertain or absent.

    A header without a finding is left out. Under Other stand the labels of a vocabulary that the headers don't know,
    that nothing was found where No Finding says so, and what was not assessed.
    """

    version = "1"

    def render(self, findings: Findings, context: Context) -> str:
        """The findings by header. The same findings always give the same text."""
        items: dict[str, list[str]] = {header: [] for header in HEADERS}
        for finding in wording.ordered(findings):
            items[_OF.get(finding.label, "Other")].append(wording.sentence(finding))
        if wording.is_normal(findings):
            items["Other"].append("No abnormality is found.")
        if left := wording.unassessed(findings):
            items["Other"].append(f"Not assessed: {', '.join(wording.word(label) for label in left)}.")
        return "\n".join(
            line for header, said in items.items() if said for line in (f"{header}:", *(f"- {each}" for each in said))
        )
