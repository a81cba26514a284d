"""``zero-shot``: the findings and an instruction, in one call."""

from __future__ import annotations

from rrgbench.interfaces import Ask
from rrgbench.prompts.instructions import Target, description, instruction, read_report
from rrgbench.types import Context, Failure, Findings, Message, Report


class ZeroShot:
    """One call: what may be said and how it is laid out, then the findings.

    ``target`` says which sections are asked for. With ``indication`` the model sees why the study was made, too.
    """

    version = "1"

    def __init__(self, target: Target = "both", indication: bool = False) -> None:
        self.target: Target = target
        self.needs: tuple[str, ...] = ("sections",) if indication else ()

    async def write(self, findings: Findings, text: str, context: Context, ask: Ask) -> Report | Failure:
        """The report of one call, or why there is none."""
        messages = [Message("system", instruction(self.target)), Message("user", description(text, context))]
        return read_report((await ask(messages)).text, self.target)
