"""A report's sections: which headings there are, and what stands under FINDINGS and IMPRESSION.

For text as a language model or a plain export writes it: "FINDINGS: ...", "**Impression**", "## Findings". (MIMIC-CXR's
own section parser belongs to its dataset.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

# The spellings of a heading, by the name of the section.
HEADINGS: dict[str, tuple[str, ...]] = {
    "findings": ("findings", "finding", "chest findings", "report", "radiology report", "observations"),
    "impression": ("impression", "impressions", "conclusion", "conclusions", "opinion", "diagnosis", "summary"),
    "indication": ("indication", "indications", "clinical indication", "reason for exam", "reason for examination"),
    "history": ("history", "clinical history", "clinical information"),
    "technique": ("technique", "exam", "examination", "procedure", "study", "views", "view"),
    "comparison": ("comparison", "comparisons"),
    "recommendation": ("recommendation", "recommendations"),
}
_NAME = {spelling: name for name, spellings in HEADINGS.items() for spelling in spellings}


def _any_of(spellings: Iterable[str]) -> str:
    longest_first = sorted(spellings, key=len, reverse=True)
    return "|".join(spelling.replace(" ", "[ \\t]+") for spelling in longest_first)


# A heading is a known word with a colon, or alone on a line and capitalised; marks of a list, a heading or bold type
# may stand around it. Within a line only capitals count: "The findings: ..." is prose, "IMPRESSION: ..." is not.
_CAPITALS = {spelling.upper() for spelling in _NAME}
_ALONE = {word for spelling in _NAME for word in (spelling.upper(), spelling.capitalize(), spelling.title())}
_BULLET = r"[ \t]*(?:[#>*\-]+[ \t]*|\d[.)][ \t]*)?"
_HEADING = re.compile(
    rf"^{_BULLET}[*_]{{0,3}}(?P<line>(?i:{_any_of(_NAME)}))[*_]{{0,3}}[ \t]*[:：][*_]{{0,3}}"
    rf"|^{_BULLET}[*_]{{0,3}}(?P<alone>{_any_of(_ALONE)})[*_]{{0,3}}[ \t]*$"
    rf"|(?<![\w:*_])[*_]{{0,3}}(?P<inline>{_any_of(_CAPITALS)})[*_]{{0,3}}[ \t]*[:：][*_]{{0,3}}",
    re.MULTILINE,
)

_FENCE = re.compile(r"^[ \t]*(?:```|~~~)\w*[ \t]*$", re.MULTILINE)
_BOLD = re.compile(r"\*{2,3}|(?<!_)__(?!_)")
_MARKDOWN_HEADING = re.compile(r"^[ \t]*#{1,6}[ \t]*", re.MULTILINE)
_RULE = re.compile(r"^[ \t]*(?:[-*_=][ \t]*){3,}$", re.MULTILINE)

# What chat models write around a report: the line that announces it, and what follows it.
_GREETING = re.compile(
    r"\A\s*(?:(?:sure|certainly|of course|okay|ok|absolutely)\b[^\n]*?[!.:,](?=\s)[ \t]*)?"
    r"(?:(?:here(?:'s| is| are| it is| you go)|below is|the following is|based on)\b[^\n]*:[ \t]*(?:\n|\Z)|(?=\n))?",
    re.IGNORECASE,
)
_POSTSCRIPT = re.compile(
    r"^[ \t*_(\[]*(?:note\s*:|please note\b|note that\b|disclaimer\b|"
    r"this report (?:is|was|has been) (?:generated|based|written)|"
    r"let me know|i hope|feel free|if you (?:need|have|would|want)|is there anything|"
    r"(?:\[?your name\]?|radiologist|signed|signature|electronically signed|dictated by|date)\b[ \t]*:|best regards|"
    r"sincerely).*\Z",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)


def split_sections(text: str) -> dict[str, str]:
    """The sections of a report by name; what stands before the first heading is named "".

    Names are those of ``HEADINGS``. Of a section that comes twice the texts are joined; an empty one is left out.

    >>> split_sections("FINDINGS: The heart is enlarged. IMPRESSION: Cardiomegaly.")
    {'findings': 'The heart is enlarged.', 'impression': 'Cardiomegaly.'}
    """
    out: dict[str, str] = {}
    for name, start, end in section_spans(text):
        body = text[start:end]
        out[name] = f"{out[name]}\n{body}" if name in out else body
    return out


def section_spans(text: str) -> Iterator[tuple[str, int, int]]:
    """Name, start and end of what stands under each heading, in order; of one that comes twice both.

    >>> list(section_spans("IMPRESSION: Edema. "))
    [('impression', 12, 18)]
    """
    name, start = "", 0
    for match in [*_HEADING.finditer(text), None]:
        body = text[start : match.start() if match else len(text)]
        if body.strip():
            yield name, start + len(body) - len(body.lstrip()), start + len(body.rstrip())
        if match:
            heading = match["line"] or match["alone"] or match["inline"]
            name, start = _NAME[" ".join(heading.lower().split())], match.end()


def strip_chatter(reply: str) -> str:
    """What a chat model wrote, without code fences, marks of markdown, the line that announces it and its postscript.

    >>> strip_chatter("Sure! Here is the report:\\n\\n**FINDINGS:** Clear lungs.\\n\\nNote: I am no doctor.")
    'FINDINGS: Clear lungs.'
    """
    text = _FENCE.sub("", reply.replace("\r\n", "\n"))
    text = _RULE.sub("", text)
    text = _BOLD.sub("", text)
    text = _MARKDOWN_HEADING.sub("", text)
    text = _GREETING.sub("", text, count=1)
    headings = [match.end() for match in _HEADING.finditer(text)]
    last = headings[-1] if headings else 0  # a section that follows is no postscript
    return (text[:last] + _POSTSCRIPT.sub("", text[last:])).strip()


def squeeze(text: str) -> str:
    """One line: list marks at the beginning of lines gone, runs of white space one blank."""
    return " ".join(re.sub(r"^[ \t]*(?:[-*•]|\d+[.)])[ \t]+", "", text, flags=re.MULTILINE).split())


def joined(sections: Mapping[str, str]) -> str:
    """Findings and impression as plain prose without headings: the text that is scored."""
    return " ".join(sections[name] for name in ("findings", "impression") if name in sections)
