"""``sentences``: findings as plain sentences, in the order of a report."""

from __future__ import annotations

from itertools import groupby

from rrgbench.text import wording
from rrgbench.types import Context, Finding, Findings, Status


class Sentences:
    """One sentence for each present or uncertain finding, with side and severity, and one for a region's absent ones.

    The last names what was not assessed. With ``probabilities`` every finding has its own sentence and the
    encoder's probability in it.
    """

    version = "1"

    def __init__(self, probabilities: bool = False) -> None:
        self.probabilities = probabilities

    def render(self, findings: Findings, context: Context) -> str:
        """The findings in words. The same findings always give the same text."""
        said = wording.ordered(findings)
        out = [self._sentence(f) for f in said if f.status is not Status.ABSENT]
        absent = [f for f in said if f.status is Status.ABSENT]
        if self.probabilities:
            out += [self._sentence(f) for f in absent]
        else:
            for _, group in groupby(absent, key=lambda finding: wording.region(finding.label)):
                out.append(f"There is no {wording.listed([wording.word(finding.label) for finding in group])}.")
        if wording.is_normal(findings):
            out.append("No abnormality is found.")
        if left := wording.unassessed(findings):
            out.append(f"Not assessed: {', '.join(wording.word(label) for label in left)}.")
        return wording.prose(out)

    def _sentence(self, finding: Finding) -> str:
        known = self.probabilities and finding.probability is not None
        return wording.sentence(finding, f" (probability {finding.probability:.2f})" if known else "")
