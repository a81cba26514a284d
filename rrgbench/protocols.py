"""Protocols: how text is prepared before it is scored. Scores under different protocols never share a column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rrgbench.errors import UsageError, did_you_mean
from rrgbench.types import Report, Study


@dataclass(frozen=True)
class Protocol:
    """Which text of the reference and of the report is compared. The unit is the study.

    ``sections`` are joined, in this order, as far as there are any. White space is collapsed; nothing else is changed.
    """

    name: str
    sections: tuple[str, ...]
    summary: str

    def reference(self, study: Study) -> str | None:
        """The reference text of a study, or None where it has none of the sections."""
        return self._joined(study.sections)

    def candidate(self, report: Report) -> str | None:
        """The text of a report that is scored. A report without sections is taken whole."""
        if self.name == FULL_TEXT or not report.sections:
            return _squeezed(report.text)
        return self._joined(report.sections)

    def _joined(self, sections: Mapping[str, str]) -> str | None:
        if self.name == FULL_TEXT and "report" in sections:
            return _squeezed(sections["report"])
        found = [text for name in self.sections if (text := _squeezed(sections.get(name, "")))]
        return " ".join(found) if found else None


def _squeezed(text: str) -> str | None:
    return " ".join(text.split()) or None


FULL_TEXT = "full-text"
PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(FULL_TEXT, ("findings", "impression"), "findings and impression, as far as there are any"),
        Protocol("findings", ("findings",), "the findings section alone"),
        Protocol("impression", ("impression",), "the impression section alone"),
    )
}


def protocol(name: str) -> Protocol:
    """The protocol of this name. Raises UsageError."""
    if name not in PROTOCOLS:
        known = ", ".join(PROTOCOLS)
        raise UsageError(f"There is no protocol {name!r}.{did_you_mean(name, PROTOCOLS)} There are: {known}.")
    return PROTOCOLS[name]
