"""``template``: the report straight from the findings, with no language model. The floor that every LLM must beat."""

from __future__ import annotations

from rrgbench.text import wording
from rrgbench.types import Context, Failure, Findings, Report


class Template:
    """A fixed way to say each finding: what is there, what may be, what is not, organ by organ.

    A label that was not assessed is not spoken of, and No Finding only where it is all that is known: that a study is
    normal follows from the rest. ``text`` is plain prose without headings; ``sections`` holds findings and impression.
    """

    version = "1"
    baseline = "no language model: sentences from the findings"

    def write(self, findings: Findings, context: Context) -> Report | Failure:
        """The report; a failure where the findings say nothing of any label."""
        return wording.compose(findings, wording.statements(findings), wording.impression(findings))
