from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from rrgbench.errors import UsageError
from rrgbench.labels import CHEXPERT
from rrgbench.thresholds import CrossFitted, FittedThresholds, Method, at_recall, best_f1, chosen, fold, youden
from rrgbench.types import Finding, Findings, Status, Study

PAIRS = st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=1, max_size=40)
METHODS: tuple[Method, ...] = ("f1", "youden", "recall")


def test_it_separates_what_can_be_separated() -> None:
    assert best_f1([0, 0, 1, 1], [0.1, 0.2, 0.4, 0.9]) == pytest.approx(0.3)


@pytest.mark.parametrize("method", METHODS)
def test_without_a_positive_nothing_is_ever_called(method: Method) -> None:
    assert chosen(method, [0, 0], [0.1, 0.9]) == chosen(method, [], []) == math.inf


def arrays(pairs: list[tuple[bool, int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([y for y, _ in pairs]), np.array([s / 9 for _, s in pairs])


@settings(max_examples=50, deadline=None)
@given(PAIRS)
def test_no_other_threshold_has_a_better_f1(pairs: list[tuple[bool, int]]) -> None:
    truth, p = arrays(pairs)
    best = f1_score(truth, p >= best_f1(truth, p), zero_division=0)
    assert all(best >= f1_score(truth, p >= t, zero_division=0) - 1e-12 for t in [*p, 0.5, 2.0])


@settings(max_examples=100, deadline=None)
@given(PAIRS)
def test_youden_s_is_the_highest_of_the_best(pairs: list[tuple[bool, int]]) -> None:
    truth, p = arrays(pairs)

    def j(t: float) -> float:
        specificity = np.mean(p[~truth] < t) if (~truth).any() else 0.0
        return float(np.mean(p[truth] >= t) + specificity)

    found = youden(truth, p)
    if not truth.any():
        assert found == math.inf
        return
    best = max(j(t) for t in p)
    assert j(found) == pytest.approx(best)
    called = min(p[p >= found])  # the lowest probability that is called: no higher one does as well
    assert not any(j(t) > best - 1e-12 for t in p if t > called)


@settings(max_examples=100, deadline=None)
@given(PAIRS, st.sampled_from([0.0, 0.1, 0.5, 0.8, 0.9, 0.95, 1.0]))
def test_at_recall_is_the_highest_that_reaches_it(pairs: list[tuple[bool, int]], recall: float) -> None:
    truth, p = arrays(pairs)
    found = at_recall(truth, p, recall)
    if not truth.any():
        assert found == math.inf
        return
    assert (truth & (p >= found)).sum() >= recall * truth.sum() - 1e-9
    called = min(p[p >= found])
    assert all((truth & (p >= t)).sum() < recall * truth.sum() for t in p if t > called)


def test_nine_of_ten_are_a_recall_of_nine_tenths() -> None:
    p = np.arange(1, 11) / 20
    assert at_recall(np.ones(10), p, 0.9) == pytest.approx(0.075)
    assert at_recall(np.ones(10), p, 0.1 + 0.2 + 0.6) == pytest.approx(0.075)


@pytest.mark.parametrize("recall", [-0.1, 1.1, math.nan])
def test_a_recall_is_a_share(recall: float) -> None:
    with pytest.raises(UsageError, match="lies in 0..1"):
        at_recall([1], [0.5], recall)


def test_the_conventions_are_the_same_for_all() -> None:
    truth, p = [0, 0, 1, 1], [0.1, 0.2, 0.4, 0.9]
    assert [chosen(method, truth, p) for method in METHODS] == pytest.approx([0.3] * 3)
    assert chosen("recall", truth, p, recall=0.5) == pytest.approx(0.65)
    assert [chosen(method, [1, 1], [0.2, 0.6], recall=1.0) for method in METHODS] == pytest.approx([0.1] * 3)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=12), st.sampled_from(METHODS))
def test_a_threshold_calls_the_same_however_near_two_probabilities_are(
    pairs: list[tuple[bool, float]], method: Method
) -> None:
    """The middle between a float and the next one is one of the two."""
    truth, p = np.array([y for y, _ in pairs]), np.array([s for _, s in pairs])
    ranks = np.unique(p, return_inverse=True)[1] / len(p)
    apart, near = (chosen(method, truth, each) for each in (ranks, p))
    assert ((p >= near) == (ranks >= apart)).all()


def test_a_patient_is_judged_by_thresholds_that_never_saw_it() -> None:
    patients = [f"p{i}" for i in range(60)]
    rng = np.random.default_rng(0)
    truth, probability = rng.random(60) < 0.4, rng.random(60)
    fitted = CrossFitted(patients, {"x": truth.astype(float)}, {"x": probability})
    for mine in patients[:10]:
        others = [i for i, patient in enumerate(patients) if fold(patient) != fold(mine)]
        assert fitted.of(mine)["x"] == best_f1(truth[others], probability[others])
    assert fitted.of("someone else")["x"] == best_f1(truth, probability)


def labelled(number: int, status: Status | None) -> Study:
    labels = Findings(CHEXPERT, {"Edema": Finding("Edema", status)} if status else {})
    return Study(f"s{number}", f"p{number}", labels=labels)


def test_thresholds_fitted_on_studies_judge_new_ones_by_all_of_them() -> None:
    present, absent = Status.PRESENT, Status.ABSENT
    truth = [present, absent] * 15 + [Status.UNCERTAIN, None]
    p = [0.4, 0.2] * 15 + [0.9, 0.3]  # not mentioned is negative, so .3 lies between; uncertain is left out
    studies = [labelled(n, status) for n, status in enumerate(truth)]
    found = {f"s{n}": {"Edema": value, "Fracture": 0.5} for n, value in enumerate(p)}
    fitted = FittedThresholds("x", studies, CHEXPERT, found)
    assert fitted.of("another")["Edema"] == pytest.approx(0.35)
    assert "Fracture" not in fitted.of("another")  # no study says whether it is there
    assert fitted.warnings == []
    assert fitted.digest == FittedThresholds("y", studies, CHEXPERT, found).digest
    changed = {study_id: {"Edema": values["Edema"] / 2} for study_id, values in found.items()}
    assert fitted.digest != FittedThresholds("x", studies, CHEXPERT, changed).digest


def test_nothing_to_fit_on_is_said() -> None:
    with pytest.raises(UsageError, match=r"^mine: threshold=fit needs labelled studies"):
        FittedThresholds("mine", [labelled(0, Status.PRESENT)], CHEXPERT, {})
