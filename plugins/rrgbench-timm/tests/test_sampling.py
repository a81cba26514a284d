"""The order of an epoch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rrgbench_timm.sampling import order, rarity_weights

NAN = float("nan")


@given(st.integers(1, 200), st.integers(0, 1000), st.integers(0, 2**63))
def test_every_study_comes_once_an_epoch(n: int, epoch: int, seed: int) -> None:
    found = order(n, epoch, seed)
    assert found.dtype == np.int64
    assert sorted(found) == list(range(n))
    np.testing.assert_array_equal(found, order(n, epoch, seed))


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = [tuple(order(50, epoch, seed)) for epoch in range(5) for seed in range(5)]
    assert len(set(orders)) == 25
    weighted = [tuple(order(50, epoch, seed, np.ones(50))) for epoch in range(5) for seed in range(5)]
    assert len(set(weighted)) == 25


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=50), st.integers(0, 9), st.integers(0, 9))
def test_a_weighted_order_is_as_long_and_as_pure(weights: list[float], epoch: int, seed: int) -> None:
    found = order(len(weights), epoch, seed, np.array(weights))
    assert found.shape == (len(weights),) and found.dtype == np.int64
    assert found.min() >= 0 and found.max() < len(weights)
    np.testing.assert_array_equal(found, order(len(weights), epoch, seed, np.array(weights)))
    np.testing.assert_array_equal(found, order(len(weights), epoch, seed, 2 * np.array(weights)))


def test_studies_come_as_often_as_they_weigh() -> None:
    weights = np.array([0.0, 1.0, 2.0, 5.0])
    drawn = np.concatenate([order(4, epoch, 0, weights) for epoch in range(5000)])
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / len(drawn), weights / 8, atol=0.015)


def test_the_rarest_label_of_a_study_says_how_much_it_weighs() -> None:
    target = np.zeros((100, 4), dtype=np.float32)
    target[:1, 0] = 1  # 1 %
    target[:25, 1] = 1  # 25 %
    target[90:, 2] = NAN
    target[80:, 3] = 2  # uncertain
    weights = rarity_weights(target)
    assert weights[:26].tolist() == pytest.approx([10.0] + [2.0] * 24 + [1.0])
    assert (weights[25:] == 1).all()


@given(st.lists(st.lists(st.sampled_from([0.0, 1.0, NAN, 0.5, 2.0]), min_size=3, max_size=3), min_size=1, max_size=40))
def test_no_study_weighs_less_than_one_that_shows_nothing(rows: list[list[float]]) -> None:
    target = np.array(rows)
    weights = rarity_weights(target)
    assert weights.shape == (len(rows),)
    assert (weights >= 1).all() and (weights <= np.sqrt(len(rows)) + 1e-9).all()
    assert (weights[~(target == 1).any(axis=1)] == 1).all()
