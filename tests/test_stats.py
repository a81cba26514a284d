from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from rrgbench import stats

truths = st.lists(st.booleans(), min_size=2, max_size=60)


def test_a_hand_counted_auroc() -> None:
    # positives .8 and .4, negatives .6 and .4: of 4 pairs 2 are won, 1 tied, 1 lost.
    assert stats.auroc([True, True, False, False], [0.8, 0.4, 0.6, 0.4])[0] == pytest.approx(2.5 / 4)


def test_one_class_alone_has_no_auroc() -> None:
    assert np.isnan(stats.auroc([True, True], [0.1, 0.2])[0])
    assert np.isnan(stats.average_precision([False, False], [0.1, 0.2])[0])


@settings(max_examples=60, deadline=None)
@given(truths, st.integers(0, 10_000))
def test_areas_equal_scikit_learn_under_any_weights(truth: list[bool], seed: int) -> None:
    rng = np.random.default_rng(seed)
    score = rng.integers(0, 8, len(truth)) / 7  # many ties
    weights = rng.integers(0, 3, (4, len(truth))).astype(float)
    aurocs, aps = stats.auroc(truth, score, weights), stats.average_precision(truth, score, weights)
    for w, auroc, ap in zip(weights, aurocs, aps, strict=True):
        drawn = w > 0
        if len(set(np.array(truth)[drawn])) < 2:
            continue
        assert auroc == pytest.approx(roc_auc_score(truth, score, sample_weight=w))
        assert ap == pytest.approx(average_precision_score(truth, score, sample_weight=w))


def test_patients_are_drawn_whole() -> None:
    weights = stats.patient_weights(["a", "a", "b", "c", "a"], resamples=200, seed=0)
    assert weights.shape == (200, 5)
    assert (weights[:, 0] == weights[:, 1]).all() and (weights[:, 0] == weights[:, 4]).all()
    assert (weights[:, [0, 2, 3]].sum(axis=1) == 3).all()  # as many patients as there are


def test_the_same_seed_draws_the_same() -> None:
    assert (stats.patient_weights(list("abc"), 10, 1) == stats.patient_weights(list("abc"), 10, 1)).all()
    assert not (stats.patient_weights(list("abc"), 10, 1) == stats.patient_weights(list("abc"), 10, 2)).all()


def test_the_interval_of_a_mean_is_as_wide_as_theory_says() -> None:
    values = np.random.default_rng(0).normal(size=400)
    weights = stats.patient_weights([str(i) for i in range(400)], 2000, 0)
    low, high = stats.percentile_interval(stats.mean(values, weights)) or (0.0, 0.0)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.08)


def test_clustered_studies_widen_the_interval() -> None:
    values = np.repeat(np.random.default_rng(0).normal(size=50), 8)  # eight equal studies a patient
    patients = [str(i // 8) for i in range(400)]
    width = {}
    for name, who in {"clustered": patients, "naive": [str(i) for i in range(400)]}.items():
        low, high = stats.percentile_interval(stats.mean(values, stats.patient_weights(who, 1000, 0))) or (0.0, 0.0)
        width[name] = high - low
    assert width["clustered"] > 2 * width["naive"]


def test_a_mostly_undefined_statistic_has_no_interval() -> None:
    assert stats.percentile_interval(np.array([np.nan, np.nan, 1.0])) is None
