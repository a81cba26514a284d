"""How well ``rulelabel`` reads real reports: ``python benchmarks/rulelabel_iu.py [FOLDER] [open] [closed]``.

Prints the tables of docs/rulelabel.md. The truth are the MeSH terms that annotators gave the reports of the Indiana
University collection (FOLDER holds NLMCXR_reports.tgz), as ``rrgbench.datasets.iu_xray.mesh`` maps them to CheXpert's
labels; the text is findings and impression. The rules were written looking at the open half alone, the reports the
SHA-256 of whose id (such as "CXR1") begins with a digit below 8; the closed half was evaluated once, with the final
rules.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rrgbench.datasets.iu_xray import IUXray
from rrgbench.labelers.rules import RuleLabeler, mentions
from rrgbench.labels import CHEXPERT, NO_FINDING
from rrgbench.stats import divide, patient_weights, percentile_interval
from rrgbench.text.sections import joined
from rrgbench.types import Findings, Status, Study

# The labels that mean the same in both; what is said against the other four stands in docs/rulelabel.md.
SAME = (
    "Cardiomegaly",
    "Lung Opacity",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Fracture",
    "Support Devices",
)
ALL_BUT_NO_FINDING = tuple(label for label in CHEXPERT.labels if label != NO_FINDING)
RESAMPLES, SEED = 1000, 0

PRESENT, ABSENT, UNCERTAIN, NOT_MENTIONED = Status.PRESENT, Status.ABSENT, Status.UNCERTAIN, Status.NOT_MENTIONED
Reading = Callable[[Status, Status], tuple[bool, bool] | None]
Floats = npt.NDArray[np.float64]


def present(truth: Status, said: Status) -> tuple[bool, bool] | None:
    """The main reading: positive is present; a truth that is uncertain or not assessed is left out."""
    return None if truth in (UNCERTAIN, NOT_MENTIONED) else (truth is PRESENT, said is PRESENT)


def not_absent(truth: Status, said: Status) -> tuple[bool, bool] | None:
    """Positive is present or uncertain, in the truth and in the text."""
    positive = (PRESENT, UNCERTAIN)
    return None if truth is NOT_MENTIONED else (truth in positive, said in positive)


def strict(truth: Status, said: Status) -> tuple[bool, bool] | None:
    """Positive is present; whatever is not coded as present is negative, a term that is near the label too."""
    return truth is PRESENT, said is PRESENT


def certain(truth: Status, said: Status) -> tuple[bool, bool] | None:
    """The main reading without what the text hedges."""
    return None if said is UNCERTAIN else present(truth, said)


def main() -> None:
    words = sys.argv[1:]
    halves = [word for word in words if word in ("open", "closed")] or ["open", "closed"]
    shared = Path(os.environ.get("RRGBENCH_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    folder = Path(next((word for word in words if word not in halves), shared / "data" / "iu-xray"))
    if not folder.exists():
        print(f"rulelabel_iu: the IU X-Ray reports are not in {folder}; nothing to evaluate")
        return
    studies = list(IUXray(root=folder).load(None))
    for half in halves:
        report(half, [study for study in studies if is_open(study.study_id) == (half == "open")])


def is_open(study_id: str) -> bool:
    return int(hashlib.sha256(study_id.encode()).hexdigest()[0], 16) < 8


def text_of(study: Study) -> str:
    return joined({name: study.sections.get(name, "") for name in ("findings", "impression")}).strip()


def report(half: str, studies: Sequence[Study]) -> None:
    coded = [(study, study.labels) for study in studies if study.labels is not None]
    cases = [(study, labels) for study, labels in coded if text_of(study)]
    print(f"\n## {half} half\n")
    print(f"{len(studies)} reports; {len(studies) - len(coded)} not coded; {len(coded) - len(cases)} without text;")
    print(f"{len(cases)} evaluated.\n")
    truth = [labels for _, labels in cases]
    texts = [text_of(study) for study, _ in cases]
    table = RuleLabeler().label(texts)
    said = {label: list(table[label]) for label in CHEXPERT.labels}
    weights = patient_weights([study.patient_id for study, _ in cases], RESAMPLES, SEED)

    print("| label | n | precision | recall | F1 |\n|---|---|---|---|---|")
    for label in CHEXPERT.labels:
        counts = tallies((label,), truth, said, present)
        mark = "" if label in SAME else " *"
        print(row(f"{label}{mark} | {int(counts[0, 0].sum() + counts[2, 0].sum())}", scores(counts, weights, "micro")))
    print()
    print("| reading | precision | recall | F1 |\n|---|---|---|---|")
    for name, labels, reading, average in (
        ("**micro, the ten**", SAME, present, "micro"),
        ("macro, the ten", SAME, present, "macro"),
        ("micro, the ten, uncertain as positive", SAME, not_absent, "micro"),
        ("macro, the ten, uncertain as positive", SAME, not_absent, "macro"),
        ("micro, the ten, near terms as negative", SAME, strict, "micro"),
        ("micro, the ten, what the text hedges left out", SAME, certain, "micro"),
        ("micro, all but No Finding", ALL_BUT_NO_FINDING, present, "micro"),
        ("macro, all but No Finding", ALL_BUT_NO_FINDING, present, "macro"),
        ("micro, all but No Finding, uncertain as positive", ALL_BUT_NO_FINDING, not_absent, "micro"),
    ):
        print(row(name, scores(tallies(labels, truth, said, reading), weights, average)))
    print()
    sides(texts, truth)


def tallies(
    labels: Sequence[str], truth: Sequence[Findings], said: dict[str, list[Status]], reading: Reading
) -> Floats:
    """True positives, false positives and false negatives, shape (3, labels, reports)."""
    out = np.zeros((3, len(labels), len(truth)))
    for i, label in enumerate(labels):
        for j, findings in enumerate(truth):
            both = reading(findings.status(label), said[label][j])
            if both is not None and any(both):
                out[0 if all(both) else 2 if both[0] else 1, i, j] = 1
    return out


def scores(counts: Floats, weights: Floats, average: str) -> list[tuple[float, tuple[float, float] | None]]:
    """Precision, recall and F1, each with its interval over resampled patients."""
    all_weights = np.vstack([np.ones(weights.shape[1]), weights])
    tp, fp, fn = (kind @ all_weights.T for kind in counts)  # labels x resamples
    if average == "micro":
        tp, fp, fn = (kind.sum(axis=0, keepdims=True) for kind in (tp, fp, fn))
    out = []
    for values in (divide(tp, tp + fp), divide(tp, tp + fn), divide(2 * tp, 2 * tp + fp + fn)):
        known = ~np.isnan(values)
        mean = divide(np.where(known, values, 0).sum(axis=0), known.sum(axis=0))
        out.append((float(mean[0]), percentile_interval(mean[1:])))
    return out


def row(name: str, values: Sequence[tuple[float, tuple[float, float] | None]]) -> str:
    cells = [
        f"{value:.3f}" + (f" [{low_high[0]:.3f}, {low_high[1]:.3f}]" if low_high else "") for value, low_high in values
    ]
    return f"| {name} | {' | '.join(cells)} |"


def sides(texts: Sequence[str], truth: Sequence[Findings]) -> None:
    """Where a label is present in both: the side of the MeSH terms against the side of the mentions together."""
    both = equal = only_mesh = only_text = neither = 0
    for text, findings in zip(texts, truth, strict=True):
        found = [m for m in mentions(text) if m.status in (PRESENT, UNCERTAIN)]
        for finding in findings.having(PRESENT):
            own = {m.side for m in found if m.label == finding.label}
            if own:
                stated = own - {None}
                side = None if not stated else stated.pop() if len(stated) == 1 else "bilateral"
                both += bool(side and finding.side)
                equal += bool(side and side == finding.side)
                only_mesh += bool(finding.side and not side)
                only_text += bool(side and not finding.side)
                neither += not side and not finding.side
    print(
        f"Sides: {both} findings have one in both, of which {equal} ({equal / both:.1%}) the same; {only_mesh} in the"
    )
    print(f"terms only, {only_text} in the text only, {neither} in neither.")


if __name__ == "__main__":
    main()
