"""A report from text that was made elsewhere: a file's cell, a constant."""

from __future__ import annotations

from rrgbench.text.sections import joined, split_sections
from rrgbench.types import Report


def as_report(text: str) -> Report:
    """The report that a text holds. Under headings its findings and impression are its text; without, all of it.

    >>> as_report("FINDINGS: Clear lungs. IMPRESSION: Normal.").text
    'Clear lungs. Normal.'
    >>> as_report("Clear lungs.").sections
    {}
    """
    sections = split_sections(text)
    preamble = sections.pop("", None)
    if not {"findings", "impression"} & sections.keys():
        return Report(text.strip())
    if preamble and "findings" not in sections:  # "Clear lungs. IMPRESSION: Normal."
        sections = {"findings": preamble, **sections}
    return Report(joined(sections), sections)
