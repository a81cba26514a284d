"""The parts."""

import asyncio

import numpy as np
import pandas as pd

from rrgbench import stats
from rrgbench.labels import CHEXPERT
from rrgbench.types import Completion, Finding, Findings, Status


class Brightness:
    """Lung Opacity where the mean pixel exceeds ``threshold`` (0..1)."""

    version = "1"
    needs = ("images",)

    def __init__(self, threshold: float = 0.5):
        self._threshold = threshold

    def encode(self, contexts):
        return [self._findings(float(np.mean(context.images[0].read()))) for context in contexts]

    def _findings(self, brightness):
        status = Status.PRESENT if brightness > self._threshold else Status.ABSENT
        return Findings(CHEXPERT, {"Lung Opacity": Finding("Lung Opacity", status, brightness)})


class Terse:
    """The present labels, separated by semicolons."""

    version = "1"

    def render(self, findings, context):
        return "; ".join(finding.label for finding in findings.having(Status.PRESENT)) or "nothing"


class Parrot:
    """Repeats the last line of the last message after ``delay`` seconds."""

    version = "1"
    host = None
    neutral = ("delay",)

    def __init__(self, delay: float = 0.0):
        self._delay = delay

    async def complete(self, messages, schema=None):
        await asyncio.sleep(self._delay)
        said = messages[-1].content.strip().splitlines()[-1]
        return Completion(f"FINDINGS: {said}", "parrot-1", prompt_tokens=len(said.split()), completion_tokens=2)


class Words:
    """The mean number of words in a report."""

    version = "1"
    needs = ("report",)
    higher_is_better = {"words": True}

    def rows(self, cases):
        counts = [len(case.candidate.split()) for case in cases]
        return pd.DataFrame({"words": counts}, index=[case.study.study_id for case in cases])

    def reduce(self, rows, weights=None):
        mean = stats.mean(rows["words"], stats.unit_weights(weights, len(rows)))
        return {"words": mean if weights is not None else float(mean[0])}
