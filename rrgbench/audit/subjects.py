"""The reports of a dataset as they can be edited, and as a protocol scores them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rrgbench.audit.corruptor import Edit, Missed, corrupt
from rrgbench.protocols import Protocol
from rrgbench.text.reports import as_report
from rrgbench.types import Case, Report, Study

Form = Literal["report", "section", "sections"]


@dataclass(frozen=True)
class Subject:
    """A study with the text that is edited: its sections under headings, or the one that the protocol compares."""

    study: Study
    text: str
    form: Form
    protocol: Protocol

    @property
    def reference(self) -> str:
        """The reference text, as the protocol prepares it."""
        return self.protocol.reference(self.study) or ""

    def prepared(self, text: str) -> str | None:
        """An edited text as the protocol would score it."""
        if self.form == "sections":
            report = as_report(text)
        else:
            report = Report(text, {self.protocol.sections[0]: text} if self.form == "section" else {})
        return self.protocol.candidate(report)

    def case(self, text: str) -> Case:
        """What a metric sees of an edited text. Where the protocol counts images, the study's first one stands."""
        image_id = self.protocol.units(self.study)[0]
        return Case(self.study, None, Report(text), self.prepared(text), self.reference, image_id)


def subjects(studies: Iterable[Study], protocol: Protocol) -> list[Subject]:
    """The studies with a reference that can be taken apart, edited and put together again."""
    found = [subject for study in studies if protocol.units(study) and (subject := _subject(study, protocol))]
    return [subject for subject in found if subject.prepared(subject.text) == subject.reference]


def _subject(study: Study, protocol: Protocol) -> Subject | None:
    if protocol.whole and "report" in study.sections:
        return Subject(study, study.sections["report"], "report", protocol)
    found = {name: study.sections[name] for name in protocol.sections if study.sections.get(name, "").strip()}
    if not found:
        return None
    if len(protocol.sections) == 1:
        return Subject(study, found[protocol.sections[0]], "section", protocol)
    headed = "\n".join(f"{name.upper()}: {text}" for name, text in found.items())
    return Subject(study, headed, "sections", protocol)


def edits(subjects: Sequence[Subject], kind: str, seed: int) -> list[Edit | Missed]:
    """An edit of each report, or why there is none. Reports are exchanged for those of other patients."""
    by_form: Mapping[Form, list[Subject]] = {form: [] for form in ("report", "section", "sections")}
    for subject in subjects:
        by_form[subject.form].append(subject)
    out = []
    for subject in subjects:
        others = [s.text for s in by_form[subject.form] if s.study.patient_id != subject.study.patient_id]
        out.append(corrupt(subject.text, kind, f"{seed}|{subject.study.study_id}", others))
    return out
