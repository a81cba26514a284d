"""A synthetic tree in the layout of CheXpert Plus."""

from __future__ import annotations

import json
from pathlib import Path

from rrgbench.datasets import drawn
from rrgbench.labels import CHEXPERT, NO_FINDING

# The columns of df_chexpert_plus_240401.csv, in the order in which a public script lists them: unverified.
COLUMNS = (
    "path_to_image",
    "path_to_dcm",
    "frontal_lateral",
    "ap_pa",
    "deid_patient_id",
    "patient_report_date_order",
    "report",
    "section_narrative",
    "section_clinical_history",
    "section_history",
    "section_comparison",
    "section_technique",
    "section_procedure_comments",
    "section_findings",
    "section_impression",
    "section_end_of_impression",
    "section_summary",
    "section_accession_number",
    "age",
    "sex",
    "race",
    "ethnicity",
    "interpreter_needed",
    "insurance_type",
    "recent_bmi",
    "deceased",
    "split",
)
_WITHOUT_FINDINGS = 0.5  # many real reports have an impression only


def make(folder: Path, studies: int, seed: int) -> None:
    """Write the table, chexbert_labels/ and PNG images. A study of two views has two texts, with other dates."""
    root = drawn.empty(folder)
    rows: list[dict[str, object]] = []
    labels: dict[str, list[dict[str, object]]] = {"report": [], "findings": [], "impression": []}
    for study in drawn.studies(studies, seed):
        chance = drawn.rng(study, seed)
        assert study.labels is not None
        marks = {label: float(cell) if cell else None for label, cell in drawn.marks(study.labels, chance).items()}
        split = "train" if study.split == "train" else "valid"  # the test set is private
        patient = f"patient{drawn.number(study) + 1:05d}"
        findings = study.sections["findings"] if chance.random() > _WITHOUT_FINDINGS else ""
        unread = {label: 1.0 if label == NO_FINDING else None for label in CHEXPERT.labels}  # CheXbert of no text
        for at, view in enumerate(drawn.views(study, seed), 1):
            side = "Lateral" if view == "LATERAL" else "Frontal"
            path = f"{split}/{patient}/study{drawn.visit(study)}/view{at}_{side.lower()}.jpg"
            drawn.picture(study, view, (root / "PNG" / path).with_suffix(".png"))
            date = f"{at}/{drawn.number(study) % 28 + 1}/2001"  # de-identified once an image, so each has its own
            sections = {
                "section_narrative": f"RADIOGRAPHIC EXAMINATION OF THE CHEST: {date}",
                "section_clinical_history": study.sections["indication"],
                "section_comparison": study.sections.get("comparison", ""),
                "section_findings": findings,
                "section_impression": study.sections["impression"]
                if at == 1
                else f"{date}: {study.sections['impression']}",
            }
            rows.append(
                {
                    "path_to_image": path,
                    "path_to_dcm": str(Path(path).with_suffix(".dcm")),
                    "frontal_lateral": side,
                    "ap_pa": view if side == "Frontal" else "",
                    "deid_patient_id": patient,
                    "patient_report_date_order": drawn.visit(study),
                    "report": "\n".join(text for text in sections.values() if text),
                    **sections,
                    "age": study.demographics["age"],
                    "sex": "Female" if study.demographics["sex"] == "F" else "Male",
                    "race": ("White", "Asian", "Black", "Other", "Unknown")[int(chance.integers(5))],
                    "ethnicity": ("Non-Hispanic/Non-Latino", "Hispanic/Latino")[int(chance.integers(2))],
                    "insurance_type": ("Medicare", "Private Insurance", "Medicaid", "Unknown")[int(chance.integers(4))],
                    "split": split,
                }
            )
            for source, records in labels.items():
                read = unread if source == "findings" and not findings else marks
                records.append({"path_to_image": path, **read})
    drawn.mark(root, seed)
    drawn.table(root / "df_chexpert_plus_240401.csv", COLUMNS, rows)
    (root / "chexbert_labels").mkdir()
    for source, records in labels.items():
        file = root / "chexbert_labels" / f"{source}_fixed.json"
        file.write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")
