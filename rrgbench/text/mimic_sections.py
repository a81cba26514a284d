"""The sections of a MIMIC-CXR report by the rules of MIT-LCP/mimic-cxr, from which most papers' texts come.

Source of the rules: MIT-LCP/mimic-cxr at 3190146, txt/section_parser.py and txt/create_section_files.py. That code
writes impression, findings, last_paragraph and comparison; indication, history, technique and examination, which
Libra's copy adds, are read alike.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from rrgbench.text.mimic_section_tables import MISNAMED, RANGES, SPELLINGS, VIEWS, WITHIN

Rules = Literal["mit-lcp", "mit-lcp-first"]
"""``mit-lcp``: the last section of a name counts, and the hand-made exceptions hold.

``mit-lcp-first``: the first section of a name counts, and there are no exceptions (MultiMedEval's mimic.py).
"""

LAST_PARAGRAPH = "last_paragraph"
CONTEXT = ("examination", "indication", "history", "technique", "comparison")
NAMES = (*CONTEXT, "findings", "impression", LAST_PARAGRAPH)
"""The sections that are kept, in the order in which ``emit`` writes them."""

_HEADING = re.compile(r"\n ([A-Z ()/,-]+):\s")
_BLANK_LINE = "\n \n"
_BARE = " REPORT: "  # a heading that names no section: what follows its blank line is the last paragraph

_NAME = {spelling: name for name, spellings in SPELLINGS.items() for spelling in spellings}
_VIEW = re.compile("|".join(map(re.escape, VIEWS)))
_MISNAMED = {study: name for name, studies in MISNAMED.items() for study in studies}


def parse(text: str, study_id: str | None = None, rules: Rules = "mit-lcp") -> dict[str, str]:
    """The sections of a report by name (those of ``NAMES``); what is missing or empty is not in the mapping.

    ``study_id`` ("s50414267") is looked up among the exceptions. Their text is what MIT-LCP labels; its table of
    sections leaves them out, so here it is the last paragraph, and there is no other section: a heading that hides the
    report must not be shown to a system.

    >>> parse(" FINAL REPORT\\n INDICATION:  Cough.\\n \\n FINDINGS: \\n \\n Clear lungs.\\n")
    {'indication': 'Cough.', 'findings': 'Clear lungs.'}
    """
    if rules == "mit-lcp" and study_id in RANGES:
        start, end = RANGES[study_id]
        return _kept({LAST_PARAGRAPH: text[start:end]})
    found = _sections(text)
    if rules == "mit-lcp" and study_id in _MISNAMED:
        return _kept({LAST_PARAGRAPH: dict(found).get(_MISNAMED[study_id], "")})
    return _kept(dict(found if rules == "mit-lcp" else reversed(found)))


def emit(sections: Mapping[str, str]) -> str:
    """A report with these sections in one order, in the form of MIMIC-CXR's files. ``parse`` gives them back.

    But for sections with a blank line in them where there are neither findings nor an impression nor a last paragraph.

    >>> print(emit({"findings": "Clear lungs.", "indication": "Cough."}))
                                     FINAL REPORT
     INDICATION:  Cough.
    <BLANKLINE>
     FINDINGS:  Clear lungs.
    <BLANKLINE>
    """
    pieces = [f" {name.upper()}:  {sections[name]}" for name in NAMES[:-1] if name in sections]
    if LAST_PARAGRAPH in sections:
        pieces.append(f"{_BARE}{_BLANK_LINE}{sections[LAST_PARAGRAPH]}")
    return f"{'FINAL REPORT':>45}\n" + "\n \n".join(pieces) + "\n"


def label_text(sections: Mapping[str, str]) -> str | None:
    """The text that MIMIC-CXR's labels were read from: the first that there is of four sections."""
    order = ("impression", "findings", LAST_PARAGRAPH, "comparison")
    return next((sections[name] for name in order if name in sections), None)


def _sections(text: str) -> list[tuple[str, str]]:
    """Every section as it comes, by its normalised name; the text before the first heading is no section of ours."""
    out = []
    heading = _HEADING.search(text)
    if heading is None:
        out.append(("full report", text))
    else:
        out.append(("preamble", text[: heading.start(1)]))
    while heading is not None:
        name, start = _normalised(heading[1]), heading.end()
        # What looks like a heading in the rest of the heading's own line, or in the line after an empty one, is none.
        following = _HEADING.search(text, max(text.find("\n", start), start))
        body = text[start : following.start() if following else len(text)]
        if body.strip() or name not in ("findings", "impression"):  # a title such as "CHEST, PA:" is no findings
            out.append((name, body))
        heading = following
    if not {"findings", "impression"} & {name for name, _ in out}:
        name, body = out.pop()
        first, blank, rest = body.partition(_BLANK_LINE)
        out += [(name, first), (LAST_PARAGRAPH, rest)] if blank else [(name, body)]
    return out


def _normalised(heading: str) -> str:
    name = heading.lower().strip()
    if name in _NAME:
        return _NAME[name]
    within = next((part for part in WITHIN if part in name), None)
    return within or ("findings" if _VIEW.search(name) else name)


def _kept(sections: Mapping[str, str]) -> dict[str, str]:
    stripped = {name: sections[name].strip() for name in NAMES if name in sections}
    return {name: text for name, text in stripped.items() if text}
