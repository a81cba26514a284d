"""``zero-shot``: the findings and an instruction, in one call."""

from __future__ import annotations

from pathlib import Path

from rrgbench.interfaces import Ask
from rrgbench.prompts import texts
from rrgbench.prompts.instructions import Target, read_report, told
from rrgbench.types import Context, Failure, Findings, Report


class ZeroShot:
    """One call: what may be said and how it is laid out, then the findings.

    ``target`` says which sections are asked for. With ``indication`` the model sees why the study was made, too.
    ``text`` is a file of the user's own in the place of texts/report.md.
    """

    version = "1"

    def __init__(self, target: Target = "both", indication: bool = False, text: Path | None = None) -> None:
        self.target: Target = target
        self.needs: tuple[str, ...] = ("sections",) if indication else ()
        self._text = texts.load("report", texts.OF_A_STUDY, texts.FINDINGS, text)
        self.signature = self._text.signature

    async def write(self, findings: Findings, text: str, context: Context, ask: Ask) -> Report | Failure:
        """The report of one call, or why there is none."""
        messages = self._text.fill(**told(text, context, self.target))
        return read_report((await ask(messages)).text, self.target)
