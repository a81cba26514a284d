"""``icil``: in-context instruction learning. The same demonstrations before every study.

After TAPP (Ye et al., arXiv 2302.14691), where one fixed prefix of demonstrations of other tasks, the same for every
input, improves how a model follows an instruction: ``cross_task``. Radiology's usual form shows reports of the same
dataset: ``in_domain``.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

from rrgbench.errors import UsageError
from rrgbench.interfaces import Ask, Renderer
from rrgbench.prompts import texts
from rrgbench.prompts.exemplars import Exemplar, between, digest, turns, usable
from rrgbench.prompts.instructions import SECTIONS, Target, read_report, told
from rrgbench.text import wording
from rrgbench.types import Context, Failure, Findings, Message, Report, Study

EXEMPLARS = 3


class ICIL:
    """One call, after demonstrations.

    ``in_domain``: ``k`` exemplars (3), each the findings as the renderer gives them and the radiologist's report.
    ``prepare`` chooses them once, by ``seed``, from training studies that have labels and a reference: a normal study
    first, then each time the study that shows the most labels not yet shown, of another patient.

    ``cross_task``: the eight demonstrations of texts/cross_task.yaml, which have nothing to do with radiology, and then
    the study as one more, in one message. They are our own, chosen by the paper's heuristics. No training split is
    needed; a reply that goes on with another demonstration is cut there.

    ``text`` is a file of the user's own in the place of texts/report.md.
    """

    version = "1"

    def __init__(
        self,
        mode: Literal["in_domain", "cross_task"] = "in_domain",
        k: int | None = None,
        seed: int = 0,
        target: Target = "both",
        indication: bool = False,
        text: Path | None = None,
    ) -> None:
        if mode == "cross_task" and k is not None:
            raise UsageError("icil:mode=cross_task has one fixed prefix of eight demonstrations: leave k out.")
        self.k, self.seed = EXEMPLARS if k is None else k, seed
        if self.k < 1:
            raise UsageError(f"icil needs at least one exemplar, not k={k}; without any, use the prompt zero-shot.")
        self.target: Target = target
        self.needs: tuple[str, ...] = ("sections",) if indication else ()
        self._indication = indication
        self._text = texts.load("report", texts.OF_A_STUDY, texts.FINDINGS, text)
        self._turns: list[Message] = []
        self._prefix = ""
        self.signature = self._text.signature
        if mode == "cross_task":
            self._prefix, signature = texts.demonstrations()
            self.signature += f"|{signature}"
        else:  # the training split is read only for a part that has this
            self.prepare: Callable[[Iterable[Study], Renderer], None] = self._choose

    def _choose(self, train: Iterable[Study], renderer: Renderer) -> None:
        """Choose the exemplars. Raises UsageError where the training studies don't allow ``k`` of them."""
        chosen = _diverse(usable(train, self.target), self.k, self.seed)
        if len(chosen) < self.k:
            wanted = " and ".join(SECTIONS[self.target])
            raise UsageError(
                f"icil wants {self.k} exemplars of different patients and the training split has {len(chosen)} with "
                f"labels and a reference {wanted}. Take a dataset with such a split (train), set k, or use the prompt "
                "zero-shot or icil:mode=cross_task."
            )
        self.signature = f"{self._text.signature}|exemplars:{digest(each.study.study_id for each in chosen)}"
        self._turns = [
            message for each in chosen for message in turns(each, self._text, renderer, self.target, self._indication)
        ]

    async def write(self, findings: Findings, text: str, context: Context, ask: Ask) -> Report | Failure:
        """The report of one call, or why there is none."""
        messages = self._text.fill(**told(text, context, self.target))
        if self._prefix:
            instruction = "\n".join(message.content for message in messages[:-1])
            task = texts.demonstration(instruction, messages[-1].content)
            reply = (await ask([Message("user", f"{self._prefix}\n\n{task}")])).text.split("\nDefinition:")[0]
        elif self._turns:
            reply = (await ask(between(messages, self._turns))).text
        else:
            raise UsageError("icil has no exemplars yet: call prepare(train, renderer) first.")
        return read_report(reply, self.target)


def _diverse(pool: list[Exemplar], k: int, seed: int) -> list[Exemplar]:
    """A normal study, then greedily the ones that add the most labels; ties fall as the shuffle has it."""
    random.Random(seed).shuffle(pool)
    shows = [frozenset(f.label for f in wording.positives(each.labels)) for each in pool]
    chosen: list[int] = []
    seen: set[str] = set()
    patients: set[str] = set()
    while len(chosen) < k:
        left = [i for i in range(len(pool)) if pool[i].study.patient_id not in patients]
        if not left:
            break
        # The first is the most normal one; min and max take the first of equals.
        best = max(left, key=lambda i: len(shows[i] - seen)) if chosen else min(left, key=lambda i: len(shows[i]))
        chosen.append(best)
        seen |= shows[best]
        patients.add(pool[best].study.patient_id)
    return [pool[i] for i in chosen]
