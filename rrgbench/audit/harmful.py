"""Places for harmful edits: what would make a report say something else. ``corruptor`` checks each proposal.

Each function gives its proposals in random order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from random import Random
from typing import TypeVar

from rrgbench.audit.changes import Change, Proposal, change, like
from rrgbench.audit.reading import POSITIVE, Placed, Reading, Sentence, blocks
from rrgbench.labelers.clauses import SEEN, VERB
from rrgbench.labels import CHEXPERT, NO_FINDING, SUPPORT_DEVICES
from rrgbench.text import wording
from rrgbench.types import Finding, Status

T = TypeVar("T")

# --- a finding left out -----------------------------------------------------------------------------------------------


def omissions(reading: Reading, rng: Random, others: Sequence[str]) -> Iterator[Proposal]:
    """Leave out one present finding: each sentence that states it, or where that says more, its part of it."""
    present = [label for label in CHEXPERT.labels if label != NO_FINDING and _is(reading, label, Status.PRESENT)]
    for label in _shuffled(rng, present):
        stating = {s for p in reading.placed if _positive(p, label) and (s := reading.sentence_of(p.span))}
        places = [_without(reading, sentence, label) for sentence in sorted(stating)]
        if places and all(places):
            yield Proposal(tuple(place for place in places if place), label)


def _without(reading: Reading, sentence: Sentence, label: str) -> Change | None:
    """What goes with a finding: the sentence with those that follow on it, or a part of the sentence at its end or
    beginning; None where what would be left is no sentence."""
    text, said = reading.text, reading.within(sentence)
    if all(p.statement.status in POSITIVE for p in said):
        return _without_sentence(reading, sentence)
    mine = [p.span for p in said if _positive(p, label)]
    rest = [p.span for p in said if p.statement.status not in POSITIVE]
    if min(mine) > max(rest):
        cuts = list(_PART.finditer(text, max(rest)[1], min(mine)[0]))
        return change(text, cuts[0].start(), sentence.end, "") if cuts else None
    if max(mine) < min(rest):
        cuts = list(_PART.finditer(text, max(mine)[1], min(rest)[0]))
        if cuts:
            letter = cuts[-1].end()
            return change(text, sentence.start, letter + 1, like(text[letter], text[sentence.start]))
    return None


# Where a sentence can be parted; "and" and "with" are left to what stands behind them.
_LINK = r"(?:but|and|with|while|although|however)"
_PART = re.compile(rf"\s*(?:[,;]\s*{_LINK}?|\b{_LINK})\s+(?=\S)", re.IGNORECASE)


def _without_sentence(reading: Reading, sentence: Sentence) -> Change:
    """The sentence, what follows on it and states nothing, and the gap to the next; of the last one the gap before."""
    section = [each for each in reading.sentences if each.section == sentence.section]
    first = section.index(sentence)
    after = first + 1
    while after < len(section) and section[after].follows and not reading.within(section[after]):
        after += 1
    if after < len(section):
        return change(reading.text, sentence.start, section[after].start, "")
    start = section[first - 1].stop if first else sentence.start
    return change(reading.text, start, section[-1].stop, "")


# --- a finding added --------------------------------------------------------------------------------------------------

_ADDED = tuple(label for label in CHEXPERT.labels if label not in (NO_FINDING, SUPPORT_DEVICES))
_NO_SIDE = ("Cardiomegaly", "Enlarged Cardiomediastinum", "Edema")
_NO_SEVERITY = ("Fracture",)


def insertions(reading: Reading, rng: Random, others: Sequence[str]) -> Iterator[Proposal]:
    """Add a sentence for a finding that the report says nothing of, so that it contradicts no other sentence."""
    missing = [label for label in _ADDED if _is(reading, label, Status.NOT_MENTIONED)]
    places = [block[0].start for block in blocks(reading.sentences)]
    for label in _shuffled(rng, missing if places else []):
        side = None if label in _NO_SIDE else rng.choice(("left", "right"))
        severity = None if label in _NO_SEVERITY else rng.choice(("mild", "moderate", "severe"))
        sentence = wording.sentence(Finding(label, Status.PRESENT, side=side, severity=severity))
        at = rng.choice(places)
        if reading.text.isupper() or reading.text.islower():
            sentence = sentence.upper() if reading.text.isupper() else sentence.lower()
        yield Proposal((change(reading.text, at, at, f"{sentence} "),), label)


# --- one finding for another ------------------------------------------------------------------------------------------

# Nouns that can stand for each other; (one, several). The heart and the mediastinum have no such noun.
_NOUNS: dict[str, tuple[str, str]] = {
    "Lung Opacity": ("opacity", "opacities"),
    "Lung Lesion": ("nodule", "nodules"),
    "Edema": ("edema", "edema"),
    "Consolidation": ("consolidation", "consolidations"),
    "Pneumonia": ("pneumonia", "pneumonia"),
    "Atelectasis": ("atelectasis", "atelectasis"),
    "Pneumothorax": ("pneumothorax", "pneumothoraces"),
    "Pleural Effusion": ("pleural effusion", "pleural effusions"),
}
_SEVERAL = re.compile(r"(?:s|ces|ties|ses)$", re.IGNORECASE)
_SINGULAR = re.compile(r"(?:sis|thorax)$", re.IGNORECASE)


def substitutions(reading: Reading, rng: Random, others: Sequence[str]) -> Iterator[Proposal]:
    """Name another finding, which the report says nothing of, wherever one present finding is named."""
    present = [label for label in _NOUNS if _is(reading, label, Status.PRESENT)]
    for label in _shuffled(rng, present):
        spans = sorted({p.span for p in reading.placed if _positive(p, label)})
        for other in _shuffled(rng, [each for each in _NOUNS if _is(reading, each, Status.NOT_MENTIONED)]):
            yield Proposal(tuple(_renamed(reading.text, span, other) for span in spans), label, other)


def _renamed(text: str, span: tuple[int, int], other: str) -> Change:
    """Another noun in the place of a phrase, the article before it included where it has one."""
    was = text[slice(*span)]
    several = bool(_SEVERAL.search(was)) and not _SINGULAR.search(was)
    now = _NOUNS[other][several]
    article = re.search(r"\b(an?) $", text[: span[0]], re.IGNORECASE)
    if not article:
        return change(text, *span, like(now, was))
    fitting = "an" if now[0] in "aeiou" else "a"
    return change(text, article.start(), span[1], f"{like(fitting, article[1])} {now}")


# --- a negation flipped -----------------------------------------------------------------------------------------------

# What denies, and what affirms in its place. An "or" of denied things becomes "and".
_AFFIRMED = (
    (r"\b(is|are|was|were) no longer\b", r"\1 still"),
    (r"\b(is|are|was|were) (?:no (?:evidence of )?(?:any )?|not )", r"\1 "),
    (r"\bwithout (?:evidence of )?(?:any )?", "with "),
    (r"\b(?:free|clear) of ", "with "),
    (r"\bnegative for\b", "positive for"),
    (r"\bno (?:evidence of )?(?:any )?(\w)", r"\1"),
)
_DENIED = (
    (r"\b(there (?:is|are)) (?:an? )?", r"\1 no "),
    (rf"\b(is|are|was|were) (?={SEEN})", r"\1 not "),
    (r"\bwith (?:an? )?", "without "),
    (rf"^(?!.*{VERB.pattern})(?:an? )?(\w[a-z])", r"no \1"),
)


def negations(reading: Reading, rng: Random, others: Sequence[str]) -> Iterator[Proposal]:
    """Affirm what a sentence denies, or deny what it affirms, by the word or two that do so."""
    for sentence in _shuffled(rng, reading.sentences):
        statuses = {p.statement.status for p in reading.within(sentence)}
        words = reading.text[sentence.start : sentence.end]
        rules = (_AFFIRMED if Status.ABSENT in statuses else ()) + (_DENIED if Status.PRESENT in statuses else ())
        for pattern, replacement in rules:
            for match in re.finditer(pattern, words, re.IGNORECASE):
                denies = (pattern, replacement) in _DENIED
                alternatives = [] if denies else re.finditer(r"\b(?:or|nor)\b", words[match.end() :], re.IGNORECASE)
                changes = [(match.start(), match.end(), _case(match, replacement))]
                changes += [(match.end() + m.start(), match.end() + m.end(), like("and", m[0])) for m in alternatives]
                at = sentence.start
                yield Proposal(tuple(change(reading.text, at + a, at + b, now) for a, b, now in changes))


def _case(match: re.Match[str], replacement: str) -> str:
    """The replacement with the capital of what it replaces, at the beginning alone."""
    now = match.expand(replacement)
    return like(now.lower() if match.start() == 0 and not match[0].isupper() else now, match[0])


# --- sides and severity -----------------------------------------------------------------------------------------------

_OTHER_SIDE = {"left": "right", "right": "left", "lul": "rul", "rul": "lul", "lll": "rll", "rll": "lll"}
# A chamber or a main bronchus is no side of the chest, and only the right lung has a middle lobe.
_SIDE = re.compile(
    r"\b(left|right|[lr][ul]l)\b(?![ -](?:atri|ventric|heart|cardiac|main|upper quadrant|abdom))", re.IGNORECASE
)
_ONE_SIDED = re.compile(r"\b(?:middle lobe|lingul\w*|rml)\b", re.IGNORECASE)


def sides(reading: Reading, rng: Random, others: Sequence[str]) -> Iterator[Proposal]:
    """Put the positive findings of a sentence on the other side."""
    for sentence in _shuffled(rng, reading.sentences):
        words = reading.text[sentence.start : sentence.end]
        sided = [p for p in reading.within(sentence) if p.statement.status in POSITIVE and p.statement.side]
        if not sided or _ONE_SIDED.search(words):
            continue
        swapped = tuple(
            change(
                reading.text,
                sentence.start + match.start(),
                sentence.start + match.end(),
                like(_OTHER_SIDE[match[0].lower()], match[0]),
            )
            for match in _SIDE.finditer(words)
        )
        if swapped:
            yield Proposal(swapped, sided[0].statement.label)


_OTHER_GRADES = {"mild": ("severe",), "moderate": ("mild", "severe"), "severe": ("mild",)}


def severities(reading: Reading, rng: Random, others: Sequence[str]) -> Iterator[Proposal]:
    """Say another severity or size of one positive finding that has one."""
    graded = [p for p in reading.placed if p.statement.status in POSITIVE and p.degree]
    for placed in _shuffled(rng, graded):
        assert placed.degree and placed.statement.severity
        was = reading.text[slice(*placed.degree)]
        grade = rng.choice(_OTHER_GRADES[placed.statement.severity])
        finding = Finding(placed.statement.label, Status.PRESENT, severity=grade)
        now = f"{grade}ly" if was.lower().endswith("ly") else wording.phrase(finding).split()[0]
        if was[0].lower() not in "aeiou":  # "an extensive" can't be "an small"
            yield Proposal((change(reading.text, *placed.degree, like(now, was)),), placed.statement.label, grade)


# --- reports exchanged ------------------------------------------------------------------------------------------------


def exchanges(reading: Reading, rng: Random, others: Sequence[str]) -> Iterator[Proposal]:
    """Another patient's report in the place of this one."""
    for other in _shuffled(rng, others):
        yield Proposal((change(reading.text, 0, len(reading.text), other),))


def _shuffled(rng: Random, items: Iterable[T]) -> list[T]:
    listed = list(items)
    return rng.sample(listed, len(listed))


def _is(reading: Reading, label: str, status: Status) -> bool:
    return reading.labels[label] is status


def _positive(placed: Placed, label: str) -> bool:
    return placed.statement.label == label and placed.statement.status in POSITIVE
