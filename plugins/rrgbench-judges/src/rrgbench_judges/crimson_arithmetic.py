"""CRIMSON's arithmetic: from the findings that a judge lists, matches and weighs to the score of one report.

The formula is ``_calculate_crimson`` of rajpurkarlab/CRIMSON (CRIMSON/generate_score.py at 00598ef and at cb1f126, and
as RadEval has it: all alike; arXiv 2603.06183). There N_G is the summed weight of the reference's findings, E_penalty
and E_miss that of the false and of the missing ones, and:

    credit_factor = base_weight / (base_weight + sum_error_weights)        base_weight: w of a matched reference finding
    correct += base_weight * credit_factor                      sum_error_weights: of all attribute errors of its ref_id
    errors_more_than_correct = E_penalty - correct
    S = (correct - E_penalty) / N_G              for N_G == 0: 1.0 if E_penalty == 0 and E_miss == 0, else below 0
    crimson = S if S >= 0 else -1 * errors_more_than_correct / (1 + errors_more_than_correct)

A missing finding has no penalty of its own: it is in N_G and not in ``correct``. So a report that names no abnormal
finding where there are some has 0, and two reports without a finding that weighs anything have 1. Upstream rounds each
report's score to four places; this does not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import fsum

SIGNIFICANCE: Mapping[str, float] = {
    "urgent": 1.0,
    "actionable_not_urgent": 0.5,
    "not_actionable_not_urgent": 0.25,
    "benign_expected": 0.0,
}
SEVERITY: Mapping[str, float] = {"significant": 0.5, "negligible": 0.0}
ERROR_TYPES = (
    "location",
    "severity",
    "descriptor",
    "measurement",
    "certainty",
    "unspecific",
    "overinterpretation",
    "temporal",
)


@dataclass(frozen=True)
class Evaluation:
    """What a judge says of a pair of reports.

    ``reference`` and ``predicted`` give the significance of each finding by its id, ``matched`` the pairs of ids, and
    ``attribute_errors`` the reference id and severity of each error within a match. A finding in no pair is missing, or
    false.
    """

    reference: Mapping[str, str]
    predicted: Mapping[str, str]
    matched: frozenset[tuple[str, str]]
    attribute_errors: Collection[tuple[str, str]]


@dataclass(frozen=True)
class Weighed:
    """The score of a report, above -1 and up to 1, and the weights of its errors, each 0 or above."""

    crimson: float
    false: float
    missing: float
    attributes: float


def weigh(said: Evaluation) -> Weighed:
    """The score, and the summed weights of false findings, missing findings and attribute errors."""
    weight = {ref_id: SIGNIFICANCE[significance] for ref_id, significance in said.reference.items()}
    found = {ref_id for ref_id, _ in said.matched}
    supported = {pred_id for _, pred_id in said.matched}
    false = fsum(SIGNIFICANCE[each] for pred_id, each in said.predicted.items() if pred_id not in supported)
    missing = fsum(each for ref_id, each in weight.items() if ref_id not in found)
    errors = dict.fromkeys(found, 0.0)
    for ref_id, severity in said.attribute_errors:
        errors[ref_id] += SEVERITY[severity]
    correct = fsum(weight[ref_id] ** 2 / (weight[ref_id] + errors[ref_id]) for ref_id in found if weight[ref_id])
    return Weighed(_score(correct, false, fsum(weight.values())), false, missing, fsum(errors.values()))


def _score(correct: float, false: float, of: float) -> float:
    if false > correct:
        return -(false - correct) / (1 + false - correct)
    return (correct - false) / of if of else 1.0
