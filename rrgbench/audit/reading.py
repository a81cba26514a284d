"""What a report says, as the rule labeler reads it: the ground on which every edit is made and checked."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

from rrgbench.labelers.clauses import placed_sentences
from rrgbench.labelers.rules import label_report, mentions
from rrgbench.text.sections import section_spans
from rrgbench.types import Status

POSITIVE = (Status.PRESENT, Status.UNCERTAIN)

GRADES: Mapping[str, str] = {
    "mild": r"mild(?:ly)?|minimal(?:ly)?|slight(?:ly)?|small|tiny|trace|minor|subtle|minute",
    "moderate": r"moderate(?:ly)?",
    "severe": r"severe(?:ly)?|large|marked(?:ly)?|massive(?:ly)?|extensive(?:ly)?",
}
_GRADE = "|".join(f"(?:{words})" for words in GRADES.values())
DEGREE = re.compile(rf"(?<![\w-])(?:(?:{_GRADE})(?:[ -]to[ -]| or ))?(?P<last>{_GRADE})(?!\w)", re.IGNORECASE)
"""How severe or large something is said to be; of "small to moderate" both, the last one counts."""

# Beyond these a word of degree is not about the finding.
_JOINT = re.compile(
    r"[.,;:\n]|\b(?:and|or|nor|versus|with|without|no|which|that|there|but|due|from|may|might|consistent|suggest\w*)\b",
    re.IGNORECASE,
)


class Statement(NamedTuple):
    """What a report says of a label at one place; None where not stated. ``severity`` is a key of ``GRADES``."""

    label: str
    status: Status
    side: str | None
    region: str | None
    severity: str | None


class Placed(NamedTuple):
    """A statement, and where its phrase and its word of degree stand."""

    statement: Statement
    span: tuple[int, int]
    degree: tuple[int, int] | None


class Sentence(NamedTuple):
    """Where a sentence stands: ``end`` is before its full stop, ``stop`` behind it. ``section`` counts from 0.

    ``follows`` says that it begins with a word such as "this", which is about the sentence before.
    """

    start: int
    end: int
    stop: int
    section: int
    follows: bool


@dataclass(frozen=True)
class Reading:
    """What a text says: the status of each label, and each statement with its place."""

    text: str

    @cached_property
    def labels(self) -> Mapping[str, Status]:
        """The status of each of CheXpert's 14 labels."""
        return label_report(self.text)

    @cached_property
    def placed(self) -> tuple[Placed, ...]:
        """Every statement, in the order of the text."""
        found = mentions(self.text)
        spans = sorted({mention.span for mention in found})
        degrees = {}
        for before, span, after in zip([(0, 0), *spans], spans, [*spans[1:], (len(self.text),) * 2], strict=False):
            degrees[span] = _degree(self.text, before[1], span, after[0])
        out = []
        for m in found:
            degree = degrees[m.span]
            severity = _grade(degree["last"]) if degree else None
            statement = Statement(m.label, m.status, m.side, m.region, severity)
            out.append(Placed(statement, m.span, degree.span() if degree else None))
        return tuple(out)

    @cached_property
    def statements(self) -> Counter[Statement]:
        """Every statement, as often as it is made, wherever it stands."""
        return Counter(placed.statement for placed in self.placed)

    @cached_property
    def sentences(self) -> tuple[Sentence, ...]:
        """The sentences that count as the report, without list numbers."""
        return tuple(_sentences(self.text))

    def sentence_of(self, span: tuple[int, int]) -> Sentence | None:
        """The sentence that a span begins in."""
        return next((s for s in self.sentences if s.start <= span[0] < s.stop), None)

    def within(self, sentence: Sentence) -> list[Placed]:
        """The statements of a sentence."""
        return [placed for placed in self.placed if sentence.start <= placed.span[0] < sentence.stop]


@lru_cache(maxsize=4096)
def read(text: str) -> Reading:
    """The reading of a text."""
    return Reading(text)


def _grade(word: str) -> str:
    return next(grade for grade, words in GRADES.items() if re.fullmatch(words, word, re.IGNORECASE))


def _degree(text: str, before: int, span: tuple[int, int], after: int) -> re.Match[str] | None:
    """The word of degree of a phrase: the last one ahead of it or within it, else the first one behind it."""
    joints = [match.end() for match in _JOINT.finditer(text, before, span[0])]
    ahead = list(DEGREE.finditer(text, joints[-1] if joints else before, span[1]))
    if ahead:
        return ahead[-1]
    stop = _JOINT.search(text, span[1], after)
    return DEGREE.search(text, span[1], stop.start() if stop else after)


_FOLLOWS = re.compile(
    r"(?:this|these|those|that|it|its|they|their|such|otherwise|however|also|again|other|additional(?:ly)?|"
    r"another|specifically|in addition|which|but|and|or|here|"
    r"the (?:others?|remainder|remaining|rest|latter|former|same|larger|largest|smaller|smallest|second))\b",
    re.IGNORECASE,
)
_TOKEN_END = re.compile(r"[\w/']*")
_FULL_STOP = re.compile(r"[.!?]*")


def _sentences(text: str) -> list[Sentence]:
    """A piece that ends with no white space after it ("p.m.") goes with the next one; a bare number is none."""
    starts = [first for _, first, _ in section_spans(text)]
    pieces: list[list[int]] = []
    for _, at in placed_sentences(text):
        end = _TOKEN_END.match(text, at[-1] + 1)
        assert end
        if pieces and text[pieces[-1][1] : at[0]].strip() and not re.search(r"\s", text[pieces[-1][1] : at[0]]):
            pieces[-1][1] = end.end()
        else:
            pieces.append([at[0], end.end()])
    out: list[Sentence] = []
    for start, end_at in pieces:
        if text[start:end_at].strip("().").isdigit():
            continue
        stop = _FULL_STOP.match(text, end_at)
        assert stop
        section = sum(first <= start for first in starts) - 1
        follows = bool(out) and out[-1].section == section and bool(_FOLLOWS.match(text, start))
        out.append(Sentence(start, end_at, stop.end(), section, follows))
    return out


def blocks(sentences: tuple[Sentence, ...]) -> list[list[Sentence]]:
    """The sentences, each with those that follow on it."""
    out: list[list[Sentence]] = []
    for sentence in sentences:
        if sentence.follows:
            out[-1].append(sentence)
        else:
            out.append([sentence])
    return out
