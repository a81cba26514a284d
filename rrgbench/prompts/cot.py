"""``cot``: chain of thought (Wei et al., NeurIPS 2022). Reasoning first, then the report between two marks."""

from __future__ import annotations

import re
from pathlib import Path

from rrgbench.interfaces import Ask
from rrgbench.prompts import texts
from rrgbench.prompts.instructions import Target, read_report, told
from rrgbench.types import Context, Failure, Findings, Report

_REPORT = re.compile(r"<report>(.*?)</report>", re.DOTALL | re.IGNORECASE)


class ChainOfThought:
    """One call. Only what stands between the marks is the report; the rest is kept as its reasoning.

    A reply without both marks is an unparsable failure: where a report begins is never guessed. ``text`` is a file of
    the user's own in the place of texts/cot.md; it must ask for the marks.
    """

    version = "1"

    def __init__(self, target: Target = "both", indication: bool = False, text: Path | None = None) -> None:
        self.target: Target = target
        self.needs: tuple[str, ...] = ("sections",) if indication else ()
        self._text = texts.load("cot", texts.OF_A_STUDY, texts.FINDINGS, text)
        self.signature = self._text.signature

    async def write(self, findings: Findings, text: str, context: Context, ask: Ask) -> Report | Failure:
        """The delimited report with its reasoning, or why there is none."""
        reply = (await ask(self._text.fill(**told(text, context, self.target)))).text
        if not reply.strip():
            return Failure("empty", "the model gave an empty reply")
        blocks = list(_REPORT.finditer(reply))
        if not blocks:
            cut = "the report is cut off" if "<report>" in reply.lower() else "there is no report"
            return Failure("unparsable", f"{cut}: the reply lacks <report> ... </report>")
        last = blocks[-1]  # an earlier one is a draft, or the marks named while reasoning
        reasoning = reply[: last.start()].replace("<think>", "").replace("</think>", "").strip()
        return read_report(last[1], self.target, reasoning or None)
