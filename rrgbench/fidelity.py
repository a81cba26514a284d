"""Does a report say what the findings say that it was written from? Label by label, by any labeler.

Judged are the labels that the findings' vocabulary and the labeler's both have, but No Finding, which follows from the
others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rrgbench.errors import UsageError
from rrgbench.interfaces import Labeler
from rrgbench.labels import NO_FINDING, any_of, counterparts, translate
from rrgbench.metrics.label_sets import comparable
from rrgbench.text import wording
from rrgbench.types import Finding, Findings, Status, Vocabulary

Kind = Literal["contradiction", "omission", "invention"]
POSITIVE = (Status.PRESENT, Status.UNCERTAIN)
_LOST: Mapping[Status, Kind] = {Status.ABSENT: "contradiction", Status.NOT_MENTIONED: "omission"}


@dataclass(frozen=True)
class Fault:
    """One label of which a report says something else than its findings. ``finding`` is what was given."""

    kind: Kind
    finding: Finding
    said: Status


def fault(given: Status, said: Status) -> Kind | None:
    """What is wrong with what is said of a label, or None.

    A contradiction: given as present or uncertain and denied, or given as absent and asserted, if only as possible. An
    omission: given as present or uncertain and not spoken of. An invention: asserted, and nothing was given. How sure
    the report is makes no fault, nor does a denial that is left out or added.
    """
    if given in POSITIVE:
        return _LOST.get(said)
    if said in POSITIVE:
        return "contradiction" if given is Status.ABSENT else "invention"
    return None


def judged(given: Vocabulary, labeler: Labeler) -> Vocabulary:
    """The labels that are compared. Raises UsageError where there is none."""
    shared = comparable(given, labeler.vocabulary)
    labels = tuple(label for label in shared.labels if label != NO_FINDING)
    if not labels:
        raise UsageError(f"the findings' labels ({given.name}) have no counterpart among those of {labeler.name}")
    return Vocabulary(shared.name, labels)


def given(findings: Findings, shared: Vocabulary) -> list[Status]:
    """The status of each label of ``shared`` in the findings."""
    table = counterparts(findings.vocabulary, shared)
    return [any_of(findings.status(source) for source in table[label]) for label in shared.labels]


def said(texts: Sequence[str], labeler: Labeler, shared: Vocabulary) -> list[list[Status]]:
    """The same in each text, as the labeler reads it."""
    table = counterparts(labeler.vocabulary, shared)
    labels = labeler.label(texts)
    columns = [zip(*(labels[source] for source in table[label]), strict=True) for label in shared.labels]
    return [list(row) for row in zip(*([any_of(map(Status, cell)) for cell in c] for c in columns), strict=True)]


def faults(findings: Findings, text: str, labeler: Labeler) -> list[Fault]:
    """All that is wrong with one report, in the order of the vocabulary."""
    shared = judged(findings.vocabulary, labeler)
    known = translate(findings, shared).by_label
    out = []
    statuses = zip(shared.labels, given(findings, shared), said([text], labeler, shared)[0], strict=True)
    for label, was_given, was_said in statuses:
        if kind := fault(was_given, was_said):
            out.append(Fault(kind, known.get(label, Finding(label, was_given)), was_said))
    return out


def in_words(fault: Fault) -> str:
    """A fault as one is told of it.

    >>> in_words(Fault("omission", Finding("Edema", Status.PRESENT), Status.NOT_MENTIONED))
    'The findings say: "There is pulmonary edema." The report does not mention it.'
    """
    if fault.kind == "invention":
        return f"The report speaks of {wording.word(fault.finding.label)}, which was not assessed: leave it out."
    wrong = {
        "omission": "does not mention it",
        "contradiction": "denies it" if fault.said is Status.ABSENT else "says that there is or may be one",
    }[fault.kind]
    return f'The findings say: "{wording.sentence(fault.finding)}" The report {wrong}.'
