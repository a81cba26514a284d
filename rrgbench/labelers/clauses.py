"""The sentences of a report, and the clauses of a sentence: beyond a clause no denial and no hedge reaches."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rrgbench.text.sections import section_spans

_NOT_REPORT = ("indication", "history", "technique", "comparison", "recommendation")
_SENTENCE_END = re.compile(r"(?<!\d)\.|\.(?!\d)|!|\n[ \t]*\n|\n[ \t]*(?:[-*•]|\d{1,2}[.)])[ \t]")
_MAX_SENTENCE = 1000  # characters; longer ones are cut, so that the work stays linear in the text's length

# Abbreviations that hold a slash or a full stop are written out; "x/y" is "x or y".
_WRITTEN_OUT = {
    "’": "'",
    "and/or": "or",
    "r/o": "rule out",
    "w/o": "without",
    "s/p": "status post",
    "h/o": "history of",
}
_REWRITE = re.compile(
    r"’|\band/or\b|\b(?:r/o|w/o|s/p|h/o)\b|(?P<versus>\bvs\b\.?)|(?P<slash>(?<=[a-z])\s*/\s*(?=[a-z]))"
    r"|(?P<header>\btubes, catheters,? and support devices[*_ \t]*:)"  # of a structured report: it states no device
)

SEEN = (
    r"(?:seen|identified|visuali[sz]ed|present|appreciated|demonstrated|demonstrable|evident|noted|detected|apparent|"
    r"observed|found|shown|visible|recogni[sz]ed|suggested|suspected)"
)

_BREAK = re.compile(
    r"\s*(?:;|\s--?\s|\b(?:but(?! (?:\w+ly |otherwise )*clear)|however|although|though|whereas|while|yet|"
    r"except(?: for| that)?|with the exception of|aside from|apart from|other than|besides|despite)\b),?\s*"
)
_COMMA_AND = re.compile(r",? and |, ")
VERB = re.compile(
    r"\b(?:is|are|was|were|has|have|had|may|might|could|can|cannot|will|does|do|did|appears?|remains?|demonstrates?|shows?|"
    r"reveals?|suggests?|represents?|persists?|obscures?|projects?|terminates?|extends?|overl(?:ies|ay)|lies)\b"
)
_NO_SUBJECT = re.compile(
    r"(?:or|nor|which|that|is|are|was|were|has|have|may|might|could|cannot|can|appears?|remains?)\b"
)
NEGATION = re.compile(r"\b(?:no|not|without|negative|free|absent)\b")
_LIST_ENDS = re.compile(rf"\b(?:is|are|was|were) (?:\w+ly |now )?{SEEN}")


def sentences(text: str) -> Iterator[str]:
    """What stands under no heading, FINDINGS or IMPRESSION, in lower case, single blanks between the words."""
    for _, normal, start, end in _sentence_spans(text):
        yield " ".join(normal[start:end].split())


def placed_sentences(text: str) -> Iterator[tuple[str, list[int]]]:
    """The same sentences, each with where in ``text`` its characters stand."""
    origins: list[int] = []
    of = None
    for section, normal, start, end in _sentence_spans(text):
        if section != of:
            of, origins = section, [section[0] + i for i in _origins(text[slice(*section)])]
        words: list[str] = []
        places: list[int] = []
        for match in re.finditer(r"\S+", normal[start:end]):
            here = origins[start + match.start() : start + match.end()]
            places += [here[0], *here] if words else here
            words.append(match[0])
        yield " ".join(words), places


def clauses(sentence: str) -> Iterator[tuple[int, int]]:
    """Start and end of the parts of a sentence that a negation or a hedge doesn't reach across."""
    start = 0
    for match in [*_BREAK.finditer(sentence), None]:
        yield from _clauses(sentence, start, match.start() if match else len(sentence))
        start = match.end() if match else start


def _clauses(sentence: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    joints = list(_COMMA_AND.finditer(sentence, start, end))
    piece_ends = [*(joint.start() for joint in joints[1:]), end]
    for joint, piece_end in zip(joints, piece_ends, strict=False):  # no joint: the whole is one clause
        piece = sentence[joint.end() : piece_end]
        own_verb = VERB.search(piece) and not _NO_SUBJECT.match(piece)
        if own_verb and _complete(sentence[start : joint.start()], piece):
            yield start, joint.start()
            start = joint.end()
    yield start, end


def _complete(clause: str, piece: str) -> bool:
    """Whether a clause stands alone and the next piece, with a verb of its own, begins another.

    "The heart is large, the lungs are clear" is two; "no effusion, edema, and mass are seen" is one.
    """
    return bool(VERB.search(clause) or (NEGATION.search(clause) and not _LIST_ENDS.search(piece)))


def _sentence_spans(text: str) -> Iterator[tuple[tuple[int, int], str, int, int]]:
    """A section's span, its normalised text, and start and end of a sentence in that."""
    for name, first, last in section_spans(text):
        if name in _NOT_REPORT:
            continue
        normal = _REWRITE.sub(_rewritten, text[first:last].lower())
        start = 0
        for match in [*_SENTENCE_END.finditer(normal), None]:
            end = match.start() if match else len(normal)
            for a, b in _cut(normal, start, end):
                if normal[a:b].strip():
                    yield (first, last), normal, a, b
            start = match.end() if match else end


def _cut(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while end - start > _MAX_SENTENCE:
        stop = text.rfind(" ", start, start + _MAX_SENTENCE) + 1 or start + _MAX_SENTENCE
        yield start, stop
        start = stop
    yield start, end


def _rewritten(match: re.Match[str]) -> str:
    if match.lastgroup == "versus":
        return "versus"
    if match.lastgroup == "header":
        return "."
    return " or " if match.lastgroup == "slash" else _WRITTEN_OUT[match[0]]


def _origins(section: str) -> list[int]:
    """For each character of the normalised section the place of what it was made from."""
    lower = section.lower()
    of_lower = [i for i, character in enumerate(section) for _ in character.lower()]
    out: list[int] = []
    start = 0
    for match in _REWRITE.finditer(lower):
        out += of_lower[start : match.start()]
        out += [of_lower[match.start()]] * len(_rewritten(match))
        start = match.end()
    return out + of_lower[start:]
