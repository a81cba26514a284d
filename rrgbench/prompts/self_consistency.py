"""``self-consistency``: several samples of another prompt, and the one that the others agree with most.

After Wang et al. (ICLR 2023), who take the commonest answer. Reports are rarely twice the same, so that their labels
vote: the report is taken whose labels agree best with the other samples'.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rrgbench.errors import LLMError, UsageError
from rrgbench.interfaces import Ask, Labeler, Prompt
from rrgbench.prompts.instructions import Target, noted
from rrgbench.types import Context, Failure, Findings, Report


class SelfConsistency:
    """``prompt`` is asked ``samples`` times; each asking of the same is another sample.

    The LLM needs a temperature above 0; else all samples are alike, which the note in the report's reasoning then says.
    Samples that fail have no vote; if all fail, the first one's failure is the report's.
    The score of a sample is the mean, over the others, of the share of the labels on which both have the same status,
    by ``labeler``; of equals the first is taken.
    """

    version = "1"

    def __init__(self, prompt: Prompt, labeler: Labeler, samples: int = 5) -> None:
        if samples < 2:
            raise UsageError(f"self-consistency needs two samples or more, not samples={samples}.")
        self._prompt, self._labeler, self._samples = prompt, labeler, samples
        self.needs = prompt.needs
        self.target: Target = getattr(prompt, "target", "both")
        if hasattr(prompt, "prepare"):  # the training split is read only for a part that has this
            self.prepare: Any = prompt.prepare

    @property
    def signature(self) -> str:
        """What the inner prompt learnt."""
        return getattr(self._prompt, "signature", "")

    async def write(self, findings: Findings, text: str, context: Context, ask: Ask) -> Report | Failure:
        """The sample that agrees best with the others, or why there is none."""
        reports: list[Report] = []
        failures: list[Failure] = []
        for _ in range(self._samples):  # one after the other, so that a sample is the same one in every run
            try:
                outcome = await self._prompt.write(findings, text, context, ask)
            except LLMError as error:
                if error.fatal:
                    raise
                outcome = Failure(error.kind, str(error))
            if isinstance(outcome, Failure):
                failures.append(outcome)
            else:
                reports.append(outcome)
        if waiting := [failure for failure in failures if failure.kind == "pending"]:
            return waiting[0]  # a batch has them: none is lost, and the vote waits for all
        if not reports:
            first = failures[0]
            return Failure(first.kind, f"all {self._samples} samples failed; the first: {first.message}")
        best, agreement = _vote([report.text for report in reports], self._labeler)
        return noted(reports[best], self._note(best, agreement, reports, failures))

    def _note(self, best: int, agreement: float, reports: Sequence[Report], failures: Sequence[Failure]) -> str:
        kinds = ", ".join(sorted({failure.kind for failure in failures}))
        failed = f", {len(failures)} failed ({kinds})" if failures else ""
        alike = "; all are alike" if len(reports) > 1 and len({report.text for report in reports}) == 1 else ""
        vote = f"sample {best + 1} of {len(reports)} that have a report, agreement {agreement:.2f}{alike}"
        return f"[self-consistency: {self._samples} samples{failed}; {vote}]"


def _vote(texts: Sequence[str], labeler: Labeler) -> tuple[int, float]:
    """The text whose labels agree best with the others', and how well: 0 to 1. One alone agrees with itself."""
    labels = labeler.label(list(texts)).to_numpy(dtype=object)
    if len(texts) == 1:
        return 0, 1.0
    same = (labels[:, None] == labels[None]).mean(axis=2)
    scores = [(float(row.sum()) - 1.0) / (len(texts) - 1) for row in same]
    best = max(range(len(scores)), key=lambda at: round(scores[at], 9))  # the first of equals
    return best, scores[best]
