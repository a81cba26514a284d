"""One word for one thing: a versioned map of spellings, abbreviations and synonyms (``terminology_map``).

It changes only the phrases it maps, and maps only what means the same to every reader: negation, side, severity, number
and all other text stay byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from rrgbench.cache import digest
from rrgbench.text.terminology_map import ABBREVIATIONS, PHRASES, SPELLINGS, VERSION

TERMS: dict[str, str] = {
    spelling: term
    for group in (SPELLINGS, ABBREVIATIONS, PHRASES)
    for term, spellings in group.items()
    for spelling in spellings
}
DIGEST = digest(VERSION, TERMS)
"""A SHA-256 of the map."""


def unify(text: str) -> str:
    """The text with each mapped phrase in the map's words. Idempotent.

    A capital at the beginning stays, and so does a phrase all in capitals. An abbreviation written out gets a capital
    at the beginning of a sentence only. The article of a phrase that becomes cardiomegaly or edema goes with it.

    >>> unify("No pulmonary oedema. There is an enlarged heart. Small left PTX.")
    'No pulmonary edema. There is cardiomegaly. Small left pneumothorax.'
    """
    return _PATTERN.sub(_replacement, text)


def _replacement(match: re.Match[str]) -> str:
    found, group = match.group(), match.lastgroup
    assert group is not None
    term = TERMS[" ".join(match[group].lower().split())]
    if group == "abbreviation":
        ahead = match.string[max(0, match.start() - 50) : match.start()]
        return _capitalised(term) if _SENTENCE_START.search(ahead) and found[0].isupper() else term
    if found.isupper():
        return term.upper()
    return _capitalised(term) if found[0].isupper() else term


def _capitalised(term: str) -> str:
    return term[0].upper() + term[1:]


def _any_of(terms: Mapping[str, tuple[str, ...]]) -> str:
    longest_first = sorted((s for spellings in terms.values() for s in spellings), key=len, reverse=True)
    return "|".join(r"\s+".join(map(re.escape, spelling.split())) for spelling in longest_first)


_SENTENCE_START = re.compile(r"(?:\A|[.!?:]|\n)\s*\Z")

_COUNTED = {"pleural effusion", "rib fracture", "rib fractures"}
_MASS = {term: spellings for term, spellings in PHRASES.items() if term not in _COUNTED}
_COUNT = {term: spellings for term, spellings in PHRASES.items() if term in _COUNTED}

# What may belong to a phrase, before it ("slightly enlarged heart", "normal to mildly ...", "non-") or behind it
# ("enlarged heart and mediastinum", "pleural fluid collection"): beside these it stays.
_BEFORE = r"(?<!ly )(?<!\bto )(?<!\bmore )(?<!\bnot )(?<![\w/-])"
_BEHIND = r"(?!\w|\s*[,/&-]|\s+(?:and|or|nor|sizes?|silhouettes?|contours?|shadows?|borders?|collections?|levels?)\b)"
_PATTERN = re.compile(
    rf"{_BEFORE}(?:(?:an?\s+)?(?P<mass>{_any_of(_MASS)})|(?P<count>{_any_of(_COUNT)})){_BEHIND}"
    rf"|(?<!\w)(?:(?P<spelling>{_any_of(SPELLINGS)})|(?P<abbreviation>{_any_of(ABBREVIATIONS)}))(?!\w)",
    re.IGNORECASE,
)
