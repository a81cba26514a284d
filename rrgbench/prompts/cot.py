"""``cot``: chain of thought (Wei et al., NeurIPS 2022). Reasoning first, then the report between two marks."""

from __future__ import annotations

import re

from rrgbench.interfaces import Ask
from rrgbench.prompts.instructions import ROLE, RULES, Target, description, layout, read_report
from rrgbench.types import Context, Failure, Findings, Message, Report

_REPORT = re.compile(r"<report>(.*?)</report>", re.DOTALL | re.IGNORECASE)

_STEPS = """\
First think step by step, briefly: which findings are present, where and how severe; which are uncertain; which are \
absent; which of them belong together; what the reader must know first.
Then write the report between <report> and </report>, in {layout}, in plain text. Write nothing after it."""


class ChainOfThought:
    """One call. Only what stands between the marks is the report; the rest is kept as its reasoning.

    A reply without both marks is an unparsable failure: where a report begins is never guessed.
    """

    version = "1"

    def __init__(self, target: Target = "both", indication: bool = False) -> None:
        self.target: Target = target
        self.needs: tuple[str, ...] = ("sections",) if indication else ()

    async def write(self, findings: Findings, text: str, context: Context, ask: Ask) -> Report | Failure:
        """The delimited report with its reasoning, or why there is none."""
        system = f"{ROLE}\n{RULES}\n\n{_STEPS.format(layout=layout(self.target))}"
        reply = (await ask([Message("system", system), Message("user", description(text, context))])).text
        if not reply.strip():
            return Failure("empty", "the model gave an empty reply")
        blocks = list(_REPORT.finditer(reply))
        if not blocks:
            cut = "the report is cut off" if "<report>" in reply.lower() else "there is no report"
            return Failure("unparsable", f"{cut}: the reply lacks <report> ... </report>")
        last = blocks[-1]  # an earlier one is a draft, or the marks named while reasoning
        reasoning = reply[: last.start()].replace("<think>", "").replace("</think>", "").strip()
        return read_report(last[1], self.target, reasoning or None)
