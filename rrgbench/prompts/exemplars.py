"""Training studies as exemplars: which can be one, and what a model is shown of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rrgbench.interfaces import Renderer
from rrgbench.prompts.instructions import SECTIONS, Target, told, written
from rrgbench.prompts.texts import PromptText
from rrgbench.text.sections import split_sections
from rrgbench.types import Context, Findings, Message, Study


@dataclass(frozen=True)
class Exemplar:
    """A study with labels and a reference that has the sections asked for."""

    study: Study
    labels: Findings
    sections: Mapping[str, str]


def usable(train: Iterable[Study], target: Target) -> list[Exemplar]:
    """The studies that can be an exemplar for this target, by study id.

    A reference that is not sectioned is split at its headings.
    """
    out = []
    for study in train:
        if study.labels and study.labels.by_label:
            sections = {**split_sections(study.sections.get("report", "")), **study.sections}
            if all(sections.get(name) for name in SECTIONS[target]):
                out.append(Exemplar(study, study.labels, sections))
    return sorted(out, key=lambda exemplar: exemplar.study.study_id)


def turns(exemplar: Exemplar, text: PromptText, renderer: Renderer, target: Target, indication: bool) -> list[Message]:
    """What the model is told of the exemplar, as it will be of a study; and its reference as the model's answer."""
    shown = {"indication": exemplar.sections.get("indication", "")} if indication else {}
    context = Context(exemplar.study.study_id, sections=shown)
    asked = text.fill(**told(renderer.render(exemplar.labels, context), context, target))[-1]
    return [asked, Message("assistant", written(exemplar.sections, target))]


def between(messages: list[Message], turns: Iterable[Message]) -> list[Message]:
    """The messages of a study with the exemplars' before the last one."""
    return [*messages[:-1], *turns, messages[-1]]


def digest(lines: Iterable[str]) -> str:
    """Twelve digits for a list of exemplars, as a signature says it."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]
