"""Harmless edits: the same said otherwise. ``corruptor`` checks that the labeler reads the same statements.

Each function gives its proposals in random order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from random import Random

from rrgbench.audit.changes import Change, Proposal, change, like
from rrgbench.audit.reading import Reading, Sentence, blocks
from rrgbench.text.terminology import TERMS, unify
from rrgbench.text.terminology_map import ABBREVIATIONS

_TRIES = 5


def orders(reading: Reading, rng: Random, others: Sequence[str]) -> Iterator[Proposal]:
    """Other orders of the sentences of each section. One that begins with "this" or the like goes with the one before.

    Full stops, list numbers and headings stay where they are.
    """
    for _ in range(_TRIES):
        changes = []
        for _, section in groupby(blocks(reading.sentences), key=lambda block: block[0].section):
            places = [(block[0].start, block[-1].end) for block in section]
            for place, source in zip(places, rng.sample(places, len(places)), strict=True):
                if reading.text[slice(*place)] != reading.text[slice(*source)]:
                    changes.append(change(reading.text, *place, reading.text[slice(*source)]))
        if changes:
            yield Proposal(tuple(changes))


def cases(reading: Reading, rng: Random, others: Sequence[str]) -> Iterator[Proposal]:
    """All sentences in capitals, or all in lower case."""
    for way in rng.sample((str.upper, str.lower), 2):
        pieces = [(s.start, s.end, reading.text[s.start : s.end]) for s in reading.sentences]
        changes = tuple(change(reading.text, a, b, way(was)) for a, b, was in pieces if way(was) != was)
        if changes:
            yield Proposal(changes)


_NUMBER = re.compile(r"(?<!\S)\(?\d{1,2}[.)]\s+\Z")


def numberings(reading: Reading, rng: Random, others: Sequence[str]) -> Iterator[Proposal]:
    """A number before each sentence of a section, or where any has one, none."""
    numbered = [
        change(reading.text, match.start(), sentence.start, "")
        for sentence in reading.sentences
        if (match := _NUMBER.search(reading.text[: sentence.start]))
    ]
    new = [
        change(reading.text, sentence.start, sentence.start, f"{number}. ")
        for _, section in groupby(reading.sentences, key=lambda sentence: sentence.section)
        for number, sentence in enumerate(section, 1)
    ]
    if changes := numbered or new:
        yield Proposal(tuple(changes))


# --- rephrased --------------------------------------------------------------------------------------------------------

_VERB = r"(?:is|are|was|were|has|have|seen|identified|noted|present)"
_NO_VERB = rf"(?!.*\b{_VERB}\b)"
_LUNG_WORD = r"pneumothora(?:x|ces)|(?:pleural )?effusions?|(?:focal )?consolidations?|(?:pulmonary )?edema"

# A sentence (without its full stop) that holds the first may say the second. They mean the same to every reader.
RULES: tuple[tuple[str, str], ...] = (
    (rf"^there (?:is|are) no (?:evidence of )?{_NO_VERB}", "no "),
    (rf"^no (?!evidence|change|interval|significant|definite){_NO_VERB}", "there is no evidence of "),
    (r"\bwithout evidence of\b", "without"),
    (r"\bno evidence of\b", "no"),
    (r"\b(is|are) (?:seen|noted)\b", r"\1 identified"),
    (r"\b(is|are) identified\b", r"\1 seen"),
    (r"\b(is|are) within normal limits$", r"\1 normal"),
    (r"\b(is|are) normal$", r"\1 within normal limits"),
    (r"\b(is|are) unremarkable$", r"\1 normal"),
    (r"^(?:the )?heart size is normal$", "the heart is normal in size"),
    (r"^(?:the )?heart is normal in size$", "heart size is normal"),
    (r"^(?:the )?lungs are clear$", "clear lungs"),
    (r"^clear lungs$", "the lungs are clear"),
    (r"\b(is|are|remains?|appears?) stable\b", r"\1 unchanged"),
    (r"\b(is|are|remains?|appears?) unchanged\b", r"\1 stable"),
    (rf"\bno ({_LUNG_WORD}) or ({_LUNG_WORD})(?=$|,| is\b| are\b)", r"no \2 or \1"),
    (r"\bosseous structures\b", "bony structures"),
    (r"\bbony structures\b", "osseous structures"),
)
_RULES = tuple((re.compile(pattern, re.IGNORECASE), replacement) for pattern, replacement in RULES)

_SPELLINGS: dict[str, list[str]] = {}
for _spelling, _term in TERMS.items():
    _SPELLINGS.setdefault(_term, []).append(_spelling)
_TERM = re.compile(rf"\b(?:{'|'.join(sorted(map(re.escape, _SPELLINGS), key=len, reverse=True))})\b", re.IGNORECASE)
_SHORT = {spelling for spellings in ABBREVIATIONS.values() for spelling in spellings}


def rephrasings(reading: Reading, rng: Random, others: Sequence[str]) -> Iterator[Proposal]:
    """One sentence in other words: by a rule, in the words of the terminology map, or by a synonym that it knows."""
    found = [
        rewritten
        for sentence in reading.sentences
        for rewritten in (*_by_rule(reading.text, sentence), *_by_terms(reading.text, sentence, rng))
    ]
    for each in rng.sample(found, len(found)):
        yield Proposal((each,))


def _by_rule(text: str, sentence: Sentence) -> Iterator[Change]:
    words = text[sentence.start : sentence.end]
    for pattern, replacement in _RULES:
        if match := pattern.search(words):
            now = match.expand(replacement)
            end = match.end()
            if match.start() == 0 and now.endswith(" "):  # the next word begins the sentence no more
                now += words[end : end + 1].lower() if words[end + 1 : end + 2].islower() else words[end : end + 1]
                end += 1
            now = like(now, words) if match.start() == 0 else like(now, match[0])
            yield change(text, sentence.start + match.start(), sentence.start + end, now)


def _by_terms(text: str, sentence: Sentence, rng: Random) -> Iterator[Change]:
    words = text[sentence.start : sentence.end]
    unified = unify(words)
    if unified != words:
        yield change(text, sentence.start, sentence.end, unified)
    for match in _TERM.finditer(words):
        spelling = rng.choice(_SPELLINGS[match[0].lower()])
        now = _abbreviated(spelling) if spelling in _SHORT else like(spelling, match[0])
        if unify(words[: match.start()] + now + words[match.end() :]) == unified:
            yield change(text, sentence.start + match.start(), sentence.start + match.end(), now)


def _abbreviated(spelling: str) -> str:
    """An abbreviation as it is written: PTX, ET tube, chest x-ray."""
    return " ".join(word.upper() if len(word) <= 3 or word == "cxrs" else word for word in spelling.split())
