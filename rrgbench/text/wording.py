"""Findings in a radiologist's words, for any vocabulary: phrases, sentences, denials, the impression.

What renderers, prompts and ``template`` share. Every sentence is such that ``rulelabel`` reads the same status from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rrgbench.labels import NO_FINDING, SUPPORT_DEVICES
from rrgbench.text.sections import joined
from rrgbench.types import Failure, Finding, Findings, Report, Status

REGIONS = ("devices", "lungs", "pleura", "heart", "bones", "other")  # the order of a report

_SIZE = {"mild": "small", "severe": "large"}


@dataclass(frozen=True)
class _Word:
    """How a label is named. ``plural`` is None for a mass noun; ``sided`` is the phrase on one side."""

    noun: str
    region: str = "other"
    plural: str | None = None
    sided: str = "{side} {noun}"
    sized: bool = False  # small, moderate and large rather than mild, moderate and severe


_LUNG = "{side} lung {noun}"
_SIDED = "{side}-sided {noun}"

# CheXpert's 14 and NIH's 14. Of what Pleural Other holds, thickening is the commonest.
_WORDS: dict[str, _Word] = {
    SUPPORT_DEVICES: _Word("support device", "devices", "support devices", _SIDED),
    "Lung Opacity": _Word("lung opacity", "lungs", "lung opacities"),
    "Infiltration": _Word("infiltrate", "lungs", "infiltrates", _LUNG),
    "Consolidation": _Word("consolidation", "lungs", sided=_LUNG),
    "Pneumonia": _Word("pneumonia", "lungs", sided=_SIDED),
    "Edema": _Word("pulmonary edema", "lungs", sided=_SIDED),
    "Atelectasis": _Word("atelectasis", "lungs", sided=_SIDED),
    "Lung Lesion": _Word("lung lesion", "lungs", "lung lesions", sized=True),
    "Mass": _Word("lung mass", "lungs", "lung masses", sized=True),
    "Nodule": _Word("lung nodule", "lungs", "lung nodules", sized=True),
    "Emphysema": _Word("emphysema", "lungs", sided=_SIDED),
    "Fibrosis": _Word("pulmonary fibrosis", "lungs", sided=_SIDED),
    "Pleural Effusion": _Word("pleural effusion", "pleura", "pleural effusions", sized=True),
    "Effusion": _Word("pleural effusion", "pleura", "pleural effusions", sized=True),
    "Pneumothorax": _Word("pneumothorax", "pleura", "pneumothoraces", sized=True),
    "Pleural Other": _Word("pleural thickening", "pleura"),
    "Pleural_Thickening": _Word("pleural thickening", "pleura"),
    "Cardiomegaly": _Word("cardiomegaly", "heart", sided="{noun}"),
    "Enlarged Cardiomediastinum": _Word("mediastinal widening", "heart", sided="{noun}"),
    "Fracture": _Word("fracture", "bones", "fractures", _SIDED),
    "Hernia": _Word("hernia", "other", "hernias", _SIDED),
}

# A lung opacity may be one of these; where both are said, one sentence says so.
_OPACITY = "Lung Opacity"
_OPACITIES = ("Consolidation", "Pneumonia", "Edema", "Atelectasis")

NOTHING_ACUTE = "No acute cardiopulmonary abnormality."


def word(label: str) -> str:
    """A label as a noun: "Pleural_Thickening" is "pleural thickening"; "Support Devices" "support device"."""
    return _word(label).noun


def phrase(finding: Finding) -> str:
    """A finding with its severity and side and no article.

    >>> phrase(Finding("Effusion", Status.PRESENT, side="left", severity="mild"))
    'small left pleural effusion'
    """
    return _phrase(finding)[0]


def sentence(finding: Finding, note: str = "") -> str:
    """One sentence that says a finding's status; ``note`` stands before its full stop.

    >>> sentence(Finding("Pneumothorax", Status.UNCERTAIN, side="right"))
    'There may be a right pneumothorax.'
    """
    if finding.status is Status.ABSENT:
        return f"There is no {word(finding.label)}{note}."
    text, many = _phrase(finding)
    verb = "may be" if finding.status is Status.UNCERTAIN else "are" if many else "is"
    return f"There {verb} {_with_article(finding, text, many)}{note}."


def listed(words: Sequence[str], conjunction: str = "or") -> str:
    """``a``, ``a or b``, ``a, b, or c``."""
    if len(words) < 3:
        return f" {conjunction} ".join(words)
    return f"{', '.join(words[:-1])}, {conjunction} {words[-1]}"


def ordered(findings: Findings) -> list[Finding]:
    """The findings that say something, but for No Finding, by region and then in the order of the vocabulary."""
    said = [f for f in findings if f.status is not Status.NOT_MENTIONED and f.label != NO_FINDING]
    return sorted(said, key=lambda finding: REGIONS.index(region(finding.label)))


def positives(findings: Findings) -> list[Finding]:
    """What is present or uncertain, in order."""
    return [f for f in ordered(findings) if f.status in (Status.PRESENT, Status.UNCERTAIN)]


def region(label: str) -> str:
    """The region of ``REGIONS`` that a label belongs to."""
    return _word(label).region


def unassessed(findings: Findings) -> list[str]:
    """The labels that nothing is said of, but for No Finding, in the order of the vocabulary."""
    return [label for label in findings.not_assessed() if label != NO_FINDING]


def is_normal(findings: Findings) -> bool:
    """Whether No Finding is present and nothing but a device contradicts it."""
    others = [f for f in positives(findings) if f.label != SUPPORT_DEVICES]
    return findings.status(NO_FINDING) is Status.PRESENT and not others


def statements(findings: Findings) -> dict[str, list[str]]:
    """Sentences for what is present or uncertain, by region."""
    found = {finding.label: finding for finding in positives(findings)}
    out: dict[str, list[str]] = {name: [] for name in REGIONS}
    opacity = found.get(_OPACITY)
    if opacity and opacity.status is Status.PRESENT:
        text, merged = _opacity_sentence(opacity, [found[label] for label in _OPACITIES if label in found])
        out["lungs"].append(text)
        found = {label: finding for label, finding in found.items() if label not in (_OPACITY, *merged)}
    for finding in found.values():
        out[region(finding.label)].append(_prose(finding))
    return out


def denials(findings: Findings) -> dict[str, str]:
    """For each region the sentences that deny what is absent there; a region without any is left out."""
    absent = {
        name: [f.label for f in ordered(findings) if f.status is Status.ABSENT and region(f.label) == name]
        for name in REGIONS
    }
    busy = {region(finding.label) for finding in positives(findings)}
    return {name: _denial(labels, name in busy) for name, labels in absent.items() if labels}


def compose(findings: Findings, said: Mapping[str, Sequence[str]], impression: str) -> Report | Failure:
    """A report: region by region the given sentences and the denials, then the given impression.

    ``text`` is plain prose without headings; ``sections`` holds findings and impression. A failure where the findings
    say nothing of any label.
    """
    denied = denials(findings)
    text = prose(s for name in REGIONS for s in (*said.get(name, ()), denied.get(name, "")))
    if not text and is_normal(findings):
        text = "No abnormality is identified."
    if not text:
        return Failure("empty", "the findings say nothing of any label: there is nothing to report")
    sections = {"findings": text, "impression": impression or NOTHING_ACUTE}
    return Report(joined(sections), sections)


def impression(findings: Findings) -> str:
    """What is present, then what is possible; empty where there is nothing."""
    found = leading(findings)
    present = [phrase(f) for f in found if f.status is Status.PRESENT]
    said = [capitalised(listed(present, "and")) + "."] if present else []
    return prose([*said, *(f"Possible {phrase(f)}." for f in found if f.status is Status.UNCERTAIN)])


def leading(findings: Findings) -> list[Finding]:
    """The positive findings that an impression names: no device, and no lung opacity where it is told what it is."""
    found = [f for f in positives(findings) if f.label != SUPPORT_DEVICES]
    told = any(f.label in _OPACITIES and f.status is Status.PRESENT for f in found)
    return [f for f in found if not (told and f.label == _OPACITY)]


def _word(label: str) -> _Word:
    if label in _WORDS:
        return _WORDS[label]
    words = label.replace("_", " ").split()
    return _Word(" ".join(w if len(w) > 1 and w.isupper() else w.lower() for w in words))  # COPD stays COPD


def _phrase(finding: Finding) -> tuple[str, bool]:
    """The phrase, and whether it is a plural."""
    known = _word(finding.label)
    many = known.plural is not None and (finding.side == "bilateral" or finding.label == SUPPORT_DEVICES)
    noun = known.plural if many and known.plural else known.noun
    if finding.side == "bilateral":
        noun = noun if "{side}" not in known.sided else f"bilateral {noun}"
    elif finding.side:
        noun = known.sided.format(side=finding.side, noun=noun)
    severity = None if finding.label == SUPPORT_DEVICES else finding.severity
    if known.sized and severity:
        severity = _SIZE.get(severity, severity)
    return (f"{severity} {noun}" if severity else noun), many


def _with_article(finding: Finding, text: str, many: bool) -> str:
    if many or _word(finding.label).plural is None:
        return text
    return f"{'an' if text[0] in 'aeiou' else 'a'} {text}"


def _prose(finding: Finding) -> str:
    """A sentence as a radiologist would rather put it."""
    if finding.status is Status.PRESENT:
        degree = f"{finding.severity}ly " if finding.severity else ""
        if finding.label == "Cardiomegaly":
            return f"The heart is {degree}enlarged."
        if finding.label == "Enlarged Cardiomediastinum":
            return f"The mediastinum is {degree}widened."
        if finding.label == SUPPORT_DEVICES:
            return f"{capitalised(phrase(finding))} are in place."
    return sentence(finding)


def _opacity_sentence(opacity: Finding, candidates: Sequence[Finding]) -> tuple[str, list[str]]:
    """The sentence for a lung opacity and for what it is, where that lies on its side; and the labels that it says."""
    same = [f for f in candidates if f.side in (None, opacity.side)]
    present = [f for f in same if f.status is Status.PRESENT]
    merged = present or same
    text = sentence(opacity)[:-1]
    if merged:
        link = ", consistent with " if present else ", which may represent "
        text += link + listed([phrase(_without_side(f)) for f in merged], "and" if present else "or")
    return f"{text}.", [f.label for f in merged]


def _without_side(finding: Finding) -> Finding:
    return Finding(finding.label, finding.status, severity=finding.severity)


def _denial(labels: Sequence[str], busy: bool) -> str:
    """The denial of these labels of one region; ``busy`` where something else of that region is said to be there."""
    if set(labels) == {"Cardiomegaly", "Enlarged Cardiomediastinum"}:
        return "Heart size and mediastinal contours are normal."
    if labels[0] == "Cardiomegaly":
        return "Heart size is normal."
    if labels[0] == "Enlarged Cardiomediastinum":
        return "The mediastinum is not widened."
    clear = not busy and {_OPACITY, "Consolidation"} <= set(labels)
    start = "The lungs are clear. " if clear else ""
    nouns = [_denied(label, busy) for label in labels if not (clear and label == _OPACITY)]
    return f"{start}There is no {listed(nouns)}."


def _denied(label: str, busy: bool) -> str:
    if label == "Consolidation":
        return "focal consolidation"
    return f"other {word(label)}" if label == _OPACITY and busy else word(label)


def capitalised(text: str) -> str:
    """The text with its first letter a capital, the rest unchanged."""
    return text[:1].upper() + text[1:]


def prose(parts: Iterable[str]) -> str:
    """Sentences joined to a paragraph."""
    return " ".join(part for part in parts if part)
