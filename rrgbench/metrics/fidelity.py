"""``fidelity``: does the report say what the findings say that it was written from?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from rrgbench import fidelity, stats
from rrgbench.interfaces import Labeler
from rrgbench.metrics import counts, label_sets
from rrgbench.metrics.clinical import CODES
from rrgbench.types import Case, Findings, Status

FAULTS: Mapping[fidelity.Kind, str] = {
    "contradiction": "fidelity_contradictions",
    "omission": "fidelity_omissions",
    "invention": "fidelity_inventions",
}


class Fidelity:
    """A report's labels, by ``labeler``, against the findings that it was given: what the language stage did to them.

    ``fidelity_precision``, ``_recall`` and ``_f1``, 0 to 1, higher is better: over all labels together, positive is
    present; what is given as uncertain and said as present is a false positive, the other way round a miss. Null where
    no finding is present. ``fidelity_contradictions``, ``_omissions`` and ``_inventions``: the mean number in a report,
    lower is better; ``rrgbench.fidelity.fault`` says what they are. ``fidelity_faithful``: the share of the reports
    with none of them, higher is better.

    The findings are the encoder's, so that its errors don't count here (those of the labeler do). Of the labels those
    are judged that the findings and the labeler both have, but No Finding; the signature names them.
    """

    version = "1"
    needs = ("report", "findings")
    higher_is_better: Mapping[str, bool] = {
        "fidelity_f1": True,
        "fidelity_precision": True,
        "fidelity_recall": True,
        **dict.fromkeys(FAULTS.values(), False),
        "fidelity_faithful": True,
    }

    def __init__(self, labeler: Labeler) -> None:
        self._labeler = labeler

    def rows(self, cases: Sequence[Case]) -> pd.DataFrame:
        """The number of each fault, then ``given_<label>`` and ``said_<label>``.

        These are coded as CheXbert's classes: 0 not mentioned, 1 present, 2 absent, 3 uncertain.
        """
        found = [_findings(case) for case in cases]
        shared = fidelity.judged(found[0].vocabulary, self._labeler)
        given = [fidelity.given(findings, shared) for findings in found]
        said = fidelity.said([case.candidate or "" for case in cases], self._labeler, shared)
        kinds = [[fidelity.fault(a, b) for a, b in zip(*pair, strict=True)] for pair in zip(given, said, strict=True)]
        data = {name: [float(of_case.count(kind)) for of_case in kinds] for kind, name in FAULTS.items()}
        index = [case.study.study_id for case in cases]
        sides = [
            pd.DataFrame([[CODES[s] for s in row] for row in side], columns=counts.columns(name, shared.labels))
            for name, side in (("given", given), ("said", said))
        ]
        return pd.concat([pd.DataFrame(data), *sides], axis=1).set_axis(index)

    def reduce(self, rows: pd.DataFrame, weights: stats.Array | None = None) -> Mapping[str, stats.Array]:
        """The scores."""
        w = stats.unit_weights(weights, len(rows))
        present = [(rows[counts.columns(side, _labels(rows))] == CODES[Status.PRESENT]) for side in ("given", "said")]
        truth, called = (side.to_numpy(float) for side in present)
        tp, fp, fn = (of_label.sum(axis=1) for of_label in counts.counts(truth, called, w))
        faults = rows[list(FAULTS.values())].to_numpy(float)
        out = {
            "fidelity_f1": counts.f1(tp, fp, fn),
            "fidelity_precision": stats.divide(tp, tp + fp),
            "fidelity_recall": stats.divide(tp, tp + fn),
            **{name: stats.mean(faults[:, at], w) for at, name in enumerate(FAULTS.values())},
            "fidelity_faithful": stats.mean((faults.sum(axis=1) == 0).astype(float), w),
        }
        return out if weights is not None else {name: value[0] for name, value in out.items()}

    def describe(self, rows: pd.DataFrame) -> str:
        """The labels compared."""
        return label_sets.described(_labels(rows))


def _labels(rows: pd.DataFrame) -> list[str]:
    return [str(c).removeprefix("given_") for c in rows.columns if str(c).startswith("given_")]


def _findings(case: Case) -> Findings:
    assert isinstance(case.findings, Findings)  # the core passes only cases that have them
    return case.findings
