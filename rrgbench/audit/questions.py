"""Report error-checking: the reports with at most one error, what a system is asked, and how its answer is read.

The task is that of Wu et al. (arXiv 2312.13103: errors are inserted, removed or substituted; is there one, and which?).
Neither their prompts nor their altered reports are public, so both are this module's own, and no number compares with
theirs. Half of the reports get one checked edit of ``corruptor``. What the system under test knows of the image is what
an encoder says of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from rrgbench.audit.corruptor import Edit, corrupt
from rrgbench.audit.reading import read
from rrgbench.audit.subjects import Subject
from rrgbench.labels import CHEXPERT, NO_FINDING, translate
from rrgbench.prompts.instructions import split_thinking
from rrgbench.types import Failure, Findings, Message, Status

NONE = "none"
KINDS: Mapping[str, tuple[str, ...]] = {
    "insert": ("insertion",),
    "remove": ("omission",),
    "substitute": ("substitution", "side", "severity"),
}
TYPES = (NONE, *KINDS)
VERSION = "1"  # of the prompt and of how reports are drawn

_INSTRUCTION = """\
You check a chest X-ray report against the findings that were read from the same image. The report may hold one error:
- insert: it states a finding that is not among the findings.
- remove: it leaves out a finding that is present.
- substitute: it names another finding, another side or another severity in the place of the true one.
Reply with JSON and nothing else: {"error": "none"}, {"error": "insert"}, {"error": "remove"} or \
{"error": "substitute"}."""
SCHEMA = {
    "type": "object",
    "properties": {"error": {"type": "string", "enum": list(TYPES)}},
    "required": ["error"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Item:
    """A report to be checked: the study, the text shown, and the edit that was made; None: it is untouched."""

    subject: Subject
    text: str
    type: str
    edit: Edit | None


@dataclass(frozen=True)
class Answer:
    """What the system under test said: a type of ``TYPES``, or why there is none; and an LLM's own words."""

    type: str | Failure
    reply: str | None = None


def items(fit: Sequence[Subject], seed: int) -> list[Item]:
    """Each report untouched or, one in two, with an error of a random type of those that it has a place for."""
    out = []
    for subject in fit:
        rng = Random(f"{seed}|check|{subject.study.study_id}")
        wanted = rng.sample(list(KINDS), len(KINDS)) if rng.random() < 0.5 else []
        item = Item(subject, subject.prepared(subject.text) or "", NONE, None)
        for name, kind in [(type_, kind) for type_ in wanted for kind in rng.sample(KINDS[type_], len(KINDS[type_]))]:
            edit = corrupt(subject.text, kind, f"{seed}|check|{subject.study.study_id}")
            if isinstance(edit, Edit) and (text := subject.prepared(edit.text)):
                item = Item(subject, text, name, edit)
                break
        out.append(item)
    return out


def messages(item: Item, seen: str) -> list[Message]:
    """What a language model is asked; ``seen`` is what the encoder says of the image, in words."""
    return [Message("system", _INSTRUCTION), Message("user", f"Findings:\n{seen}\n\nReport:\n{item.text}")]


def answered(reply: str) -> str | Failure:
    """The type that a reply names: in JSON, or as the only one of the four words.

    >>> answered('{"error": "insert"}'), answered("I would say: remove.")
    ('insert', 'remove')
    """
    text = split_thinking(reply)[1]
    named = re.findall(r'"error"\s*:\s*"(\w+)"', text) or re.findall(rf"\b({'|'.join(TYPES)})\b", text.lower())
    if len(set(named)) == 1 and named[0] in TYPES:
        return str(named[0])
    return Failure("unparsable", "the reply does not name one of " + ", ".join(TYPES))


def by_rule(item: Item, findings: Mapping[str, Findings | Failure]) -> Answer:
    """What the labeler reads in the report against the findings: the labels, then sides and severities."""
    found = findings[item.subject.study.study_id]
    if isinstance(found, Failure):
        return Answer(found)
    seen = translate(found, CHEXPERT)
    reading = read(item.text)
    labels = [label for label in CHEXPERT.labels if label != NO_FINDING]
    stated = {label for label in labels if reading.labels[label] is Status.PRESENT}
    present = {label for label in labels if seen.status(label) is Status.PRESENT}
    possible = present | {label for label in labels if seen.status(label) is Status.UNCERTAIN}
    extra, missing = stated - possible, present - stated
    if extra or missing:
        return Answer("substitute" if extra and missing else "insert" if extra else "remove")
    for placed in reading.placed:
        said, true = placed.statement, seen.by_label.get(placed.statement.label)
        if said.label in stated and true and (_differ(said.side, true.side) or _differ(said.severity, true.severity)):
            return Answer("substitute")
    return Answer(NONE)


def _differ(said: str | None, true: str | None) -> bool:
    return said is not None and true is not None and said != true
