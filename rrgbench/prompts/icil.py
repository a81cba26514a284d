"""``icil``: in-context instruction learning. The same exemplars before every study, from the training split.

After TAPP (Ye et al., arXiv 2302.14691), where one fixed prefix of demonstrations, the same for every input, improves
how a model follows an instruction. There they come from other tasks; here they are reports of the same dataset.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Mapping

from rrgbench.errors import UsageError
from rrgbench.interfaces import Ask, Renderer
from rrgbench.prompts.instructions import SECTIONS, Target, description, instruction, read_report, written
from rrgbench.text import wording
from rrgbench.text.sections import split_sections
from rrgbench.types import Context, Failure, Findings, Message, Report, Study


class ICIL:
    """One call, after ``k`` exemplars: findings as the renderer gives them, and the radiologist's report.

    ``prepare`` chooses them once, by ``seed``, from training studies that have labels and a reference: a normal study
    first, then each time the study that shows the most labels not yet shown, of another patient.
    """

    version = "1"

    def __init__(self, k: int = 3, seed: int = 0, target: Target = "both", indication: bool = False) -> None:
        if k < 1:
            raise UsageError(f"icil needs at least one exemplar, not k={k}; without any, use the prompt zero-shot.")
        self.k, self.seed = k, seed
        self.target: Target = target
        self.needs: tuple[str, ...] = ("sections",) if indication else ()
        self._prefix: list[Message] = []
        self._ids: list[str] = []

    @property
    def signature(self) -> str:
        """A digest of the exemplars' ids; empty before ``prepare``."""
        digest = hashlib.sha256("\n".join(self._ids).encode()).hexdigest()[:12]
        return f"exemplars:{digest}" if self._ids else ""

    def prepare(self, train: Iterable[Study], renderer: Renderer) -> None:
        """Choose the exemplars. Raises UsageError where the training studies don't allow ``k`` of them."""
        usable: list[tuple[Study, Findings, Mapping[str, str]]] = []
        for study in train:
            sections = _reference(study)
            if study.labels and study.labels.by_label and all(sections.get(name) for name in SECTIONS[self.target]):
                usable.append((study, study.labels, sections))
        exemplars = _diverse(usable, self.k, self.seed)
        if len(exemplars) < self.k:
            wanted = " and ".join(SECTIONS[self.target])
            raise UsageError(
                f"icil wants {self.k} exemplars of different patients and the training split has {len(exemplars)} with "
                f"labels and a reference {wanted}. Take a dataset with such a split (train), set k, or use the prompt "
                "zero-shot."
            )
        self._ids = [study.study_id for study, _, _ in exemplars]
        self._prefix = [Message("system", instruction(self.target))]
        for study, labels, sections in exemplars:
            shown = {name: sections[name] for name in ("indication",) if "sections" in self.needs and name in sections}
            context = Context(study.study_id, sections=shown)
            self._prefix.append(Message("user", description(renderer.render(labels, context), context)))
            self._prefix.append(Message("assistant", written(sections, self.target)))

    async def write(self, findings: Findings, text: str, context: Context, ask: Ask) -> Report | Failure:
        """The report of one call, or why there is none."""
        if not self._prefix:
            raise UsageError("icil has no exemplars yet: call prepare(train, renderer) first.")
        return read_report((await ask([*self._prefix, Message("user", description(text, context))])).text, self.target)


def _reference(study: Study) -> Mapping[str, str]:
    """The reference by section; one that is not sectioned is split at its headings."""
    return {**split_sections(study.sections.get("report", "")), **study.sections}


def _diverse(
    usable: list[tuple[Study, Findings, Mapping[str, str]]], k: int, seed: int
) -> list[tuple[Study, Findings, Mapping[str, str]]]:
    """A normal study, then greedily the ones that add the most labels; ties fall as the shuffle has it."""
    pool = sorted(usable, key=lambda item: item[0].study_id)
    random.Random(seed).shuffle(pool)
    shows = [frozenset(f.label for f in wording.positives(labels)) for _, labels, _ in pool]
    chosen: list[int] = []
    seen: set[str] = set()
    patients: set[str] = set()
    while len(chosen) < k:
        left = [i for i in range(len(pool)) if pool[i][0].patient_id not in patients]
        if not left:
            break
        # The first is the most normal one; min and max take the first of equals.
        best = max(left, key=lambda i: len(shows[i] - seen)) if chosen else min(left, key=lambda i: len(shows[i]))
        chosen.append(best)
        seen |= shows[best]
        patients.add(pool[best][0].patient_id)
    return [pool[i] for i in chosen]
