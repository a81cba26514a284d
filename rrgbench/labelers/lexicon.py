"""The phrases of ``chexpert_phrases`` compiled, and found in a clause."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from rrgbench.labelers.chexpert_phrases import CLEAR, HINTS, NOT_MENTIONS, OTHER, SIGNS, STRUCTURES
from rrgbench.labelers.clauses import NEGATION

OTHER_ABNORMALITY = "Other"  # what a phrase of ``OTHER`` mentions: no label is for it


class Phrase(NamedTuple):
    """What a phrase mentions: labels that are present by it, that are at most uncertain, that a predicate decides."""

    signs: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    structures: tuple[str, ...] = ()


class Found(NamedTuple):
    """A phrase and where in the clause it stands."""

    start: int
    end: int
    phrase: Phrase


def _phrases() -> dict[str, Phrase]:
    kinds: dict[str, dict[str, list[str]]] = defaultdict(lambda: {"signs": [], "hints": [], "structures": []})
    for kind, table in (("signs", SIGNS), ("hints", HINTS), ("structures", STRUCTURES)):
        for label, expressions in table.items():
            for expression in expressions:
                kinds[expression][kind].append(label)
    out = {e: Phrase(*(tuple(labels) for labels in by_kind.values())) for e, by_kind in kinds.items()}
    out |= {e: Phrase(signs=(OTHER_ABNORMALITY,)) for e in OTHER}
    out |= {e: Phrase() for e in NOT_MENTIONS}
    return dict(sorted(out.items(), key=lambda item: -len(item[0])))


_PHRASES = tuple(_phrases().items())
_PHRASE = re.compile(r"(?<![\w-])(?=[a-z])(?:" + "|".join(f"({e})" for e, _ in _PHRASES) + r")(?!\w)")
_CLEAR = tuple((re.compile(rf"\b{e}"), labels) for e, labels in CLEAR.items())
_NORMAL = re.compile(
    r"\b(?<!not )(?:normal|unremarkable|clear|negative|intact)\b|"
    r"\bno (?:\w+ ){0,3}(?:abnormalit\w+|disease|process|findings?|change)\b|\bno acute\b"
)


def phrases_in(clause: str) -> list[Found]:
    """The phrases that a clause holds, in order; such as mention nothing among them."""
    return [Found(m.start(), m.end(), _PHRASES[(m.lastindex or 0) - 1][1]) for m in _PHRASE.finditer(clause)]


def clear_in(clause: str) -> Iterator[tuple[str, int, int]]:
    """The labels that a whole statement of normal anatomy denies, with where it stands."""
    for expression, labels in _CLEAR:
        match = expression.search(clause)
        if match and not NEGATION.search(match[0]):
            yield from ((label, match.start(), match.end()) for label in labels)


def says_normal(clause: str) -> bool:
    """Whether a clause says of anything that it is normal."""
    return _NORMAL.search(clause) is not None
