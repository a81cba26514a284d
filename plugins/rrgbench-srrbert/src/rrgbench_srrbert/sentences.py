"""Free text to sentences, as RadEval does it (srr_bert.py: numbers of lists out, then NLTK's Punkt)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nltk.tokenize.punkt import PunktSentenceTokenizer  # type: ignore[import-untyped]

# Applied in turn. "2." is the number of a list; "3.5" is not.
_NUMBERS = (
    (re.compile(r"^\s*\d+\.(?!\d)\s*"), ""),
    (re.compile(r"(\w)\.(\d+)\.(?!\d)\s*"), r"\1. "),
    # "word2." As upstream's (\w)(\d+)\. but tried once a number: a text of nothing but digits would take minutes.
    (re.compile(r"(?!(?<=\d)\d)(\w)(\d++)\.(?!\d)\s*"), r"\1. "),
    (re.compile(r"(\w)\s+\d+\.(?!\d)\s*"), r"\1. "),
    (re.compile(r"([.!?])\s*\d+\.(?!\d)\s*"), r"\1 "),
    (re.compile(r"\.([A-Z])"), r". \1"),
)


def sentences(text: str) -> list[str]:
    """The sentences of a text. One that ends without a stop gets one, so that an empty text is the sentence "."."""
    for pattern, instead in _NUMBERS:
        text = pattern.sub(instead, text)
    if not text.strip().endswith((".", "!", "?")):
        text = text.strip() + "."
    found: list[str] = _punkt().tokenize(text)
    return found


@lru_cache(maxsize=1)
def _punkt() -> PunktSentenceTokenizer:
    """NLTK's English sentence splitter. Its parameters are those of NLTK's punkt_tab, from a package: no download."""
    from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer
    from punkt.data import english

    learned = PunktParameters()
    learned.abbrev_types = set(english.ABBREV_TYPES)
    learned.collocations = set(english.COLLOCATIONS)
    learned.sent_starters = set(english.SENT_STARTERS)
    learned.ortho_context.update(english.ORTHO_CONTEXT)
    return PunktSentenceTokenizer(learned)
