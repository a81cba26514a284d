"""``oracle``: the dataset's own labels as findings, the upper bound of every encoder."""

from __future__ import annotations

from collections.abc import Sequence

from rrgbench.types import Context, Failure, Finding, Findings, Status

# AUROC wants a number: what the dataset is sure of is sure, what it leaves open is open.
CERTAINTY = {Status.PRESENT: 1.0, Status.ABSENT: 0.0, Status.UNCERTAIN: 0.5}


class Oracle:
    """Gives the dataset's own labels, with side, severity and boxes where it has them."""

    version = "1"
    needs = ("labels",)
    cached = False
    baseline = "sees the dataset's own labels, an upper bound"

    def encode(self, contexts: Sequence[Context]) -> list[Findings | Failure]:
        """The labels of each study; a study without any is a failure."""
        return [_findings(context) for context in contexts]


def _findings(context: Context) -> Findings | Failure:
    if context.labels is None:
        return Failure("labels", f"the dataset has no labels for study {context.study_id}; the oracle needs them")
    by_label = {
        f.label: Finding(f.label, f.status, CERTAINTY[f.status], f.side, f.severity, f.boxes)
        for f in context.labels
        if f.status in CERTAINTY
    }
    return Findings(context.labels.vocabulary, by_label)
