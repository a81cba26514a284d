"""``repair``: another prompt's report, checked against the findings, and written again where it contradicts them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from rrgbench.errors import LLMError, UsageError
from rrgbench.fidelity import Fault, faults, in_words
from rrgbench.interfaces import Ask, Labeler, Prompt
from rrgbench.prompts import texts
from rrgbench.prompts.instructions import Target, noted, read_report, told, written
from rrgbench.types import Context, Failure, Findings, Report


class Repair:
    """The report of ``prompt``; then, up to ``rounds`` times, the model is shown its report with what is wrong in it.

    What is wrong is found by ``labeler`` (``rrgbench.fidelity``): what the report denies or asserts against the
    findings; with ``faults=all`` also what it leaves out and what it makes up. A report with nothing wrong costs no
    further call. A new report that has more wrong with it, or can't be read, is dropped, and the one before stays. A
    note in the report's reasoning says how many rounds there were and what is still wrong; every call is counted and
    priced like any other.

    ``text`` is a file of the user's own in the place of texts/repair.md.
    """

    version = "1"

    def __init__(
        self,
        prompt: Prompt,
        labeler: Labeler,
        rounds: int = 1,
        faults: Literal["contradictions", "all"] = "contradictions",
        text: Path | None = None,
    ) -> None:
        if rounds < 1:
            raise UsageError(f"repair needs one round or more, not rounds={rounds}; without any, leave repair out.")
        self._prompt, self._labeler, self._rounds = prompt, labeler, rounds
        self._all = faults == "all"
        self.needs = prompt.needs
        self.target: Target = getattr(prompt, "target", "both")
        self._text = texts.load("repair", (*texts.OF_A_STUDY, "report", "faults"), ("faults",), text)
        if hasattr(prompt, "prepare"):  # the training split is read only for a part that has this
            self.prepare: Any = prompt.prepare

    @property
    def signature(self) -> str:
        """Its own text, and what the inner prompt learnt."""
        inner = getattr(self._prompt, "signature", "")
        return f"{self._text.signature}|prompt:({inner})" if inner else self._text.signature

    async def write(self, findings: Findings, text: str, context: Context, ask: Ask) -> Report | Failure:
        """The report with the fewest faults, or why there is none: that of the inner prompt."""
        report = await self._prompt.write(findings, text, context, ask)
        if isinstance(report, Failure):
            return report
        wrong = self._faults(findings, report)
        counts, rounds, end = [len(wrong)], 0, ""
        while wrong and rounds < self._rounds:
            rounds += 1
            again = await self._again(report, wrong, text, context, ask)
            if isinstance(again, Failure):
                end = f"; round {rounds} gave no report ({again.kind}: {again.message})"
                break
            left = self._faults(findings, again)
            if len(left) > len(wrong):
                end = f"; round {rounds} had {len(left)} and was dropped"
                break
            report, wrong = again, left
            counts.append(len(wrong))
        # How many were wrong at first, and after each round: "[repair: 1 round; faults: 2, 0]".
        many = "" if rounds == 1 else "s"
        return noted(report, f"[repair: {rounds} round{many}; faults: {', '.join(map(str, counts))}{end}]")

    async def _again(
        self, report: Report, wrong: list[Fault], text: str, context: Context, ask: Ask
    ) -> Report | Failure:
        draft = written(report.sections, self.target) if report.sections else report.text
        listed = "\n".join(f"- {in_words(fault)}" for fault in wrong)
        values = told(text, context, self.target) | {"report": draft, "faults": listed}
        try:
            return read_report((await ask(self._text.fill(**values))).text, self.target, report.reasoning)
        except LLMError as error:
            if error.fatal or error.retry or error.kind == "pending":
                raise  # the next run asks this again; what was written so far comes from the cache
            return Failure(error.kind, str(error))

    def _faults(self, findings: Findings, report: Report) -> list[Fault]:
        found = faults(findings, report.text, self._labeler)
        return [fault for fault in found if self._all or fault.kind == "contradiction"]
