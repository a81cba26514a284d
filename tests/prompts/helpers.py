"""A model that answers what it is told to, and prompts written with it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from rrgbench.interfaces import Prompt
from rrgbench.labels import CHEXPERT, SUPPORT_DEVICES
from rrgbench.renderers.sentences import Sentences
from rrgbench.types import Completion, Context, Failure, Finding, Findings, Message, Report, Status, Study

REPLY = "FINDINGS: Small left pleural effusion.\nIMPRESSION: Effusion."


class Model:
    """Answers with the given replies, the last one again and again, and keeps what it was asked."""

    def __init__(self, *replies: str) -> None:
        self.replies = list(replies)
        self.asked: list[list[Message]] = []

    async def ask(self, messages: Sequence[Message], schema: Any = None) -> Completion:
        self.asked.append(list(messages))
        return Completion(self.replies.pop(0) if len(self.replies) > 1 else self.replies[0], "model")

    @property
    def told(self) -> str:
        """All that the last call said."""
        return "\n".join(message.content for message in self.asked[-1])


def findings(**statuses: Status) -> Findings:
    found = {name.replace("_", " "): status for name, status in statuses.items()}
    return Findings(CHEXPERT, {label: Finding(label, status) for label, status in found.items()})


def write(prompt: Prompt, model: Model, found: Findings | None = None, **sections: str) -> Report | Failure:
    context = Context("s1", sections=sections)
    found = found or findings(Pleural_Effusion=Status.PRESENT, Pneumothorax=Status.ABSENT)
    return asyncio.run(prompt.write(found, Sentences().render(found, context), context, model.ask))


def report(prompt: Prompt, model: Model, found: Findings | None = None, **sections: str) -> Report:
    result = write(prompt, model, found, **sections)
    assert isinstance(result, Report), result
    return result


def failure(prompt: Prompt, reply: str) -> Failure:
    result = write(prompt, Model(reply))
    assert isinstance(result, Failure), result
    return result


def training(count: int = 12) -> list[Study]:
    """Every fourth is normal; the others show one label each; two studies a patient."""
    labels = [label for label in CHEXPERT.labels[1:] if label != SUPPORT_DEVICES]
    studies = []
    for i in range(count):
        shown = None if i % 4 == 0 else labels[i % len(labels)]
        found = {label: Finding(label, Status.PRESENT if label == shown else Status.ABSENT) for label in labels}
        sections = {"findings": f"Reference findings {i}.", "impression": f"Reference impression {i}."}
        studies.append(Study(f"t{i:02}", f"p{i // 2}", "train", sections=sections, labels=Findings(CHEXPERT, found)))
    return studies
