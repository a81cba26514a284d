"""``constant``: one report for every study, the baseline that everyone forgets to compare with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rrgbench.text.reports import as_report
from rrgbench.types import Context, Failure, Report

# Most chest radiographs of most data sets are normal, so this scores better than one would wish.
NORMAL = (
    "FINDINGS: The lungs are clear. There is no focal consolidation, pleural effusion or pneumothorax. "
    "The cardiomediastinal silhouette is normal. No acute osseous abnormality. "
    "IMPRESSION: No acute cardiopulmonary abnormality."
)


class Constant:
    """Writes ``text`` whatever it is shown; without it, a normal report."""

    version = "1"
    needs = ()
    baseline = "the same report for every study"

    def __init__(self, text: str = NORMAL) -> None:
        self._report = as_report(text)

    def generate(self, contexts: Sequence[Context]) -> Iterator[Report | Failure]:
        """The same report for each."""
        return (self._report for _ in contexts)
