from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from rrgbench.thresholds import CrossFitted, best_f1, fold


def test_it_separates_what_can_be_separated() -> None:
    assert best_f1([0, 0, 1, 1], [0.1, 0.2, 0.4, 0.9]) == pytest.approx(0.3)


def test_without_a_positive_nothing_is_ever_called() -> None:
    assert best_f1([0, 0], [0.1, 0.9]) == math.inf


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=1, max_size=40))
def test_no_other_threshold_has_a_better_f1(pairs: list[tuple[bool, int]]) -> None:
    truth = np.array([y for y, _ in pairs])
    p = np.array([s / 9 for _, s in pairs])
    best = f1_score(truth, p >= best_f1(truth, p), zero_division=0)
    assert all(best >= f1_score(truth, p >= t, zero_division=0) - 1e-12 for t in [*p, 0.5, 2.0])


def test_a_patient_is_judged_by_thresholds_that_never_saw_it() -> None:
    patients = [f"p{i}" for i in range(60)]
    rng = np.random.default_rng(0)
    truth, probability = rng.random(60) < 0.4, rng.random(60)
    fitted = CrossFitted(patients, {"x": truth.astype(float)}, {"x": probability})
    for mine in patients[:10]:
        others = [i for i, patient in enumerate(patients) if fold(patient) != fold(mine)]
        assert fitted.of(mine)["x"] == best_f1(truth[others], probability[others])
    assert fitted.of("someone else")["x"] == best_f1(truth, probability)
