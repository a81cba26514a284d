"""What the prompts tell a model of a study, and how a report is read from its reply."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from rrgbench.text.sections import joined, split_sections, squeeze, strip_chatter
from rrgbench.types import Context, Failure, Report

Target = Literal["both", "findings", "impression"]
SECTIONS: dict[Target, tuple[str, ...]] = {
    "both": ("findings", "impression"),
    "findings": ("findings",),
    "impression": ("impression",),
}

_LAYOUT: dict[Target, str] = {
    "both": 'two sections, "FINDINGS:" and "IMPRESSION:"',
    "findings": 'one section, "FINDINGS:"',
    "impression": 'one section, "IMPRESSION:", of one to three sentences',
}


def layout(target: Target) -> str:
    """The sections that are wanted, in words: a report in ``two sections, "FINDINGS:" and "IMPRESSION:"``."""
    return _LAYOUT[target]


def told(text: str, context: Context, target: Target) -> dict[str, str]:
    """What the placeholders of one study stand for (``texts.OF_A_STUDY``)."""
    return {
        "layout": layout(target),
        "description": description(text, context),
        "findings": text,
        "indication": context.sections.get("indication", "").strip(),
    }


def description(text: str, context: Context) -> str:
    """One study as a model is told of it: the rendered findings, and the indication where the prompt may see it."""
    indication = context.sections.get("indication", "").strip()
    return f"Indication: {indication}\n\nFindings:\n{text}" if indication else f"Findings:\n{text}"


def written(sections: Mapping[str, str], target: Target) -> str:
    """A report in the layout that is asked for, as far as it has the sections."""
    return "\n".join(f"{name.upper()}: {squeeze(sections[name])}" for name in SECTIONS[target] if name in sections)


_REFUSAL = re.compile(
    r"\s*(?:i'?m (?:very )?sorry|i am (?:very )?sorry|sorry\b|unfortunately,? i\b|as an ai\b|"
    r"(?:i|i'm) (?:cannot|can't|can not|am unable|am not able|unable|not able)\b)",
    re.IGNORECASE,
)


def is_refusal(text: str) -> bool:
    """Whether a reply begins as refusals do ("I'm sorry, but ..."), which no report does."""
    return bool(_REFUSAL.match(text.replace("’", "'")))


def read_report(reply: str, target: Target, reasoning: str | None = None) -> Report | Failure:
    """The report that a reply holds.

    Under headings its findings and impression; without, all of it, chatter aside. What a reasoning model put in
    ``<think>`` goes to ``Report.reasoning``. A reply that is empty, a refusal, cut off while reasoning, or has headings
    but not those that were asked for, is a failure.
    """
    thought, text = split_thinking(reply)
    reasoning = "\n".join(part for part in (thought, reasoning) if part) or None
    if thought is None and text.lstrip().startswith("<think>"):
        return Failure("unparsable", "the reply ends before its reasoning does (</think> is missing)")
    if not text.strip():
        return Failure("empty", "the model gave an empty reply")
    text = strip_chatter(text)
    sections = split_sections(text)
    preamble = sections.pop("", "")
    wanted = SECTIONS[target]
    if not sections:
        if is_refusal(preamble):
            return Failure("refused", f"the model refused: {squeeze(preamble)[:200]}")
        text = squeeze(preamble)
        if not text:
            return Failure("empty", "the reply holds no report")
        return Report(text, {} if target == "both" else {wanted[0]: text}, reasoning)
    if preamble and "findings" not in sections and not preamble.endswith(":"):
        sections["findings"] = preamble  # "Clear lungs. IMPRESSION: Normal."
    found = {name: squeeze(sections[name]) for name in wanted if name in sections}
    if not any(found.values()):
        got = ", ".join(name.upper() for name in sections)
        return Failure("unparsable", f"the reply has no {' or '.join(n.upper() for n in wanted)} (it has: {got})")
    return Report(joined(found), found, reasoning)


def split_thinking(reply: str) -> tuple[str | None, str]:
    """What a reasoning model wrote up to ``</think>``, or None; and the rest."""
    thought, mark, rest = reply.rpartition("</think>")
    return (thought.replace("<think>", "").strip() or None, rest) if mark else (None, reply)


def noted(report: Report, note: str) -> Report:
    """The report with a line more of reasoning."""
    return replace(report, reasoning=f"{report.reasoning}\n{note}" if report.reasoning else note)
