"""The four label sets of SRR-BERT, in the order of the classifiers' outputs.

Mapping files of jbdel/RadEval (PyPI radeval 2.2.1, metrics/SRRBert/*_mapping.json) and of jbdel/StructEval.
"""

from __future__ import annotations

from typing import Literal

Level = Literal["leaves", "upper", "leaves_with_statuses", "upper_with_statuses"]

NO_FINDING = "No Finding"
STATUSES = ("Present", "Uncertain", "Absent")

LEAVES = (
    NO_FINDING,
    "Lung Lesion",
    "Edema",
    "Pneumonia",
    "Atelectasis",
    "Aspiration",
    "Lung collapse",
    "Perihilar airspace opacity",
    "Air space opacity–multifocal",
    "Mass/Solitary lung mass",
    "Nodule/Solitary lung nodule",
    "Cavitating mass with content",
    "Cavitating masses",
    "Emphysema",
    "Fibrosis",
    "Pulmonary congestion",
    "Hilar lymphadenopathy",
    "Bronchiectasis",
    "Simple pneumothorax",
    "Loculated pneumothorax",
    "Tension pneumothorax",
    "Simple pleural effusion",
    "Loculated pleural effusion",
    "Pleural scarring",
    "Hydropneumothorax",
    "Pleural Other",
    "Cardiomegaly",
    "Pericardial effusion",
    "Inferior mediastinal mass",
    "Superior mediastinal mass",
    "Tortuous Aorta",
    "Calcification of the Aorta",
    "Enlarged pulmonary artery",
    "Hernia",
    "Pneumomediastinum",
    "Tracheal deviation",
    "Acute humerus fracture",
    "Acute rib fracture",
    "Acute clavicle fracture",
    "Acute scapula fracture",
    "Compression fracture",
    "Shoulder dislocation",
    "Subcutaneous Emphysema",
    "Suboptimal central line",
    "Suboptimal endotracheal tube",
    "Suboptimal nasogastric tube",
    "Suboptimal pulmonary arterial catheter",
    "Pleural tube",
    "PICC line",
    "Port catheter",
    "Pacemaker",
    "Implantable defibrillator",
    "LVAD",
    "Intraaortic balloon pump",
    "Pneumoperitoneum",
)
UPPER = (
    "Pleural Effusion",
    "Upper abdominal finding",
    "Widened cardiac silhouette",
    "Lung Finding",
    NO_FINDING,
    "Widened aortic contour",
    "Pleural Thickening",
    "Vascular finding",
    "Consolidation",
    "Pneumothorax",
    "Subdiaphragmatic gas",
    "Masslike opacity",
    "Chest wall finding",
    "Focal air space opacity",
    "Segmental collapse",
    "Fracture",
    "Mediastinal mass",
    "Solitary masslike opacity",
    "Support Devices",
    "Mediastinal finding",
    "Pleural finding",
    "Air space opacity",
    "Diffuse air space opacity",
    "Multiple masslike opacities",
    "Musculoskeletal finding",
)


def with_statuses(labels: tuple[str, ...]) -> tuple[str, ...]:
    """``Edema (Present)``, …: every label present, then every one uncertain, then absent, then No Finding alone."""
    found = [label for label in labels if label != NO_FINDING]
    return (*(f"{label} ({status})" for status in STATUSES for label in found), NO_FINDING)


LABELS: dict[Level, tuple[str, ...]] = {
    "leaves": LEAVES,
    "upper": UPPER,
    "leaves_with_statuses": with_statuses(LEAVES),
    "upper_with_statuses": with_statuses(UPPER),
}
MODELS: dict[Level, str] = {
    "leaves": "StanfordAIMI/SRR-BERT-Leaves",
    "upper": "StanfordAIMI/SRR-BERT-Upper",
    "leaves_with_statuses": "StanfordAIMI/SRR-BERT-Leaves-with-Statuses",
    "upper_with_statuses": "StanfordAIMI/SRR-BERT-Upper-with-Statuses",
}
TOKENIZER = "microsoft/BiomedVLP-CXR-BERT-general"  # of all four
