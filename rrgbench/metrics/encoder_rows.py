"""The rows of metrics that compare an encoder's findings with the dataset's labels: the labels that both have."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from rrgbench.errors import UsageError
from rrgbench.labels import translate
from rrgbench.metrics import counts, label_sets
from rrgbench.stats import Array
from rrgbench.types import Case, Findings, Status

TRUTH = "truth-uncertain:ignored|truth-blank:absent"  # how the truth is read, as a signature says it


def _truth(findings: Findings, label: str) -> float:
    status = findings.status(label)
    return math.nan if status is Status.UNCERTAIN else float(status is Status.PRESENT)


def _called(findings: Findings, label: str) -> float:
    return float(findings.status(label) is Status.PRESENT) if label in findings.by_label else math.nan


def _probability(findings: Findings, label: str) -> float:
    finding = findings.by_label.get(label)
    return finding.probability if finding and finding.probability is not None else math.nan


# What a column may hold: whether it is of the truth, else of the encoder, and how a finding becomes a number.
_KINDS: Mapping[str, tuple[bool, Callable[[Findings, str], float]]] = {
    "truth": (True, _truth),
    "called": (False, _called),
    "probability": (False, _probability),
}


def rows(cases: Sequence[Case], kinds: Sequence[str]) -> pd.DataFrame:
    """A row a case, in order, with a column ``<kind>_<label>`` for each kind and label.

    ``truth`` and ``called`` are 1, 0 or NaN, ``probability`` is 0..1 or NaN. An uncertain truth is NaN, one that is not
    mentioned 0; an uncertain finding is not called. Raises UsageError where no label can be compared.
    """
    pairs = [(_findings(case.study.labels), _findings(case.findings)) for case in cases]
    known, made = pairs[0][0].vocabulary, pairs[0][1].vocabulary
    vocabulary = label_sets.comparable(known, made)
    if not len(vocabulary):
        raise UsageError(
            f"no label of the dataset ({', '.join(known.labels)}) has a counterpart among the encoder's"
            f" ({', '.join(made.labels)})"
        )
    data = []
    for truth, found in ((translate(truth, vocabulary), translate(found, vocabulary)) for truth, found in pairs):
        chosen = [(truth if of_truth else found, number) for of_truth, number in (_KINDS[kind] for kind in kinds)]
        data.append([number(findings, label) for findings, number in chosen for label in vocabulary.labels])
    names = [column for kind in kinds for column in counts.columns(kind, vocabulary.labels)]
    return pd.DataFrame(data, columns=names, index=[case.study.study_id for case in cases], dtype=float)


def labels(rows: pd.DataFrame) -> list[str]:
    """The labels of the rows, in snake case."""
    return [str(c).removeprefix("truth_") for c in rows.columns if str(c).startswith("truth_")]


def matrix(rows: pd.DataFrame, kind: str) -> Array:
    """One kind of column, of shape (rows, labels)."""
    return rows[[f"{kind}_{label}" for label in labels(rows)]].to_numpy(float)


def _findings(value: object) -> Findings:
    assert isinstance(value, Findings)  # the core passes only cases that have them
    return value
