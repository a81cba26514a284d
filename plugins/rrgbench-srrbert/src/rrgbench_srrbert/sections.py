"""A structured report to its sections, as StructEval reads it (utils.py: parse_findings, remove_bullets)."""

from __future__ import annotations

import re

# The headers of the SRR format, written exactly so.
HEADERS = (
    "Lungs and Airways",
    "Pleura",
    "Cardiovascular",
    "Hila and Mediastinum",
    "Tubes, Catheters, and Support Devices",
    "Musculoskeletal and Chest Wall",
    "Abdominal",
    "Other",
)
_TITLE = re.compile(r"findings:(?=\s*\S)", re.IGNORECASE)
_BULLET = re.compile(r"^\W*")


def sections(report: str) -> dict[str, list[str]]:
    """The utterances of each section, in order, without their bullets.

    A section is a line that is one of ``HEADERS``, with or without a colon, and the lines below it that begin with
    ``-``. Any other line ends the section and drops it, as upstream does; so does a second section of the same name
    with the first. A section without an utterance is none.
    """
    title, *rest = _TITLE.split(report)
    text = title.rstrip() + "".join(part.strip() for part in rest) if rest else report
    out: dict[str, list[str]] = {}
    header: str | None = None
    utterances: list[str] = []
    for line in (line.strip() for line in text.split("\n")):
        name = _BULLET.sub("", line).removesuffix(":").strip()
        if name in HEADERS:
            if header:
                out[header] = utterances
            header, utterances = name, []
        elif line.startswith("-"):
            utterances.append(line.removeprefix("- "))
        elif line:
            header = None
    if header:
        out[header] = utterances
    return {name: said for name, said in out.items() if said}
