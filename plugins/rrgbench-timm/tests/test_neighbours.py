from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rrgbench_timm import neighbours
from rrgbench_timm.neighbours import counts, looked_up, ml_knn, shares, usable


def drawn(n: int, m: int, missing: float, seed: int = 0, width: int = 5, labels: int = 3):
    """Features of n training studies and of m others, and the targets of the first, with some missing."""
    rng = np.random.default_rng(seed)
    training, queries = (rng.normal(size=(rows, width)).astype(np.float32) for rows in (n, m))
    targets = rng.integers(0, 2, (n, labels)).astype(np.float32)
    targets[rng.random((n, labels)) < missing] = np.nan
    return queries, training, targets


def at_angles(*degrees: float) -> np.ndarray:
    """Unit vectors whose cosines are those of the differences of their angles."""
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def by_brute_force(queries, training, targets, k: int, itself: bool = False) -> np.ndarray:
    """How many of the k nearest are positive, by sorting every cosine: shape (queries, labels)."""
    a, b = (x.astype(float) / np.linalg.norm(x.astype(float), axis=1, keepdims=True) for x in (queries, training))
    cosine = a @ b.T
    if itself:
        np.fill_diagonal(cosine, -np.inf)
    out = np.zeros((len(queries), targets.shape[1]), dtype=int)
    for label in range(targets.shape[1]):
        known = np.flatnonzero(~np.isnan(targets[:, label]))
        k_here = min(k, len(known) - 1)
        for row in range(len(queries)):
            nearest = known[np.argsort(-cosine[row, known], kind="stable")[:k_here]]
            out[row, label] = int(targets[nearest, label].sum())
    return out


@given(seed=st.integers(0, 1000), missing=st.sampled_from([0.0, 0.4]), itself=st.booleans())
def test_the_nearest_are_those_of_a_full_sort(seed: int, missing: float, itself: bool) -> None:
    queries, training, targets = drawn(30, 7, missing, seed)
    queries = training if itself else queries
    found = counts(queries, training, targets, [1, 4, 12], itself=itself)
    for number, k in enumerate([1, 4, 12]):
        assert np.array_equal(found[..., number], by_brute_force(queries, training, targets, k, itself))


def test_blocks_and_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, training, targets = drawn(60, 20, 0.3)
    training[30:] = training[:30]  # every study twice: half of the cosines are equal
    whole = counts(queries, training, targets, [1, 3, 8])
    weighted = shares(queries, training, targets, [1, 3, 8])
    alone = np.concatenate([counts(one[None], training, targets, [1, 3, 8]) for one in queries])
    assert np.array_equal(whole, alone)
    monkeypatch.setattr(neighbours, "QUERIES", 6)
    monkeypatch.setattr(neighbours, "TRAINING", 7)
    assert np.array_equal(whole, counts(queries, training, targets, [1, 3, 8]))
    assert np.array_equal(weighted, shares(queries, training, targets, [1, 3, 8]))
    own = counts(training, training, targets, [3], itself=True)
    assert np.array_equal(own[..., 0], by_brute_force(training, training, targets, 3, itself=True))


def test_of_equally_near_ones_the_first_counts() -> None:
    twins = at_angles(10, 10, 10, 50)
    targets = np.array([[1], [0], [0], [0]], dtype=np.float32)
    assert counts(at_angles(10), twins, targets, [1]).item() == 1
    assert counts(at_angles(10), twins[::-1].copy(), targets[::-1].copy(), [1]).item() == 0


def test_only_the_direction_of_features_counts() -> None:
    queries, training, targets = drawn(30, 7, 0.0)
    scaled = training * np.random.default_rng(1).uniform(0.1, 9, (30, 1)).astype(np.float32)
    assert np.array_equal(counts(queries * 3, scaled, targets, [5]), counts(queries, training, targets, [5]))


def test_an_example_of_ml_knn_by_hand() -> None:
    """Four studies at 0 and 10 (present), 25 and 80 degrees (absent); one neighbour, smoothing 1.

    Their nearest others are 10, 0, 10 and 25: both present ones have a positive neighbour, and one of the two absent
    ones. Prior (1 + 2) / (2 + 4) = 1/2. One positive neighbour: (1 + 2) / (2 + 2) of the present, (1 + 1) / (2 + 2) of
    the absent: 3/4 over 3/4 + 2/4 = .6. None: (1 + 0) / 4 and (1 + 1) / 4: 1/3.
    """
    training, targets = at_angles(0, 10, 25, 80), np.array([[1], [1], [0], [0]], dtype=np.float32)
    own = counts(training, training, targets, [1], itself=True)[..., 0]
    assert own.ravel().tolist() == [1, 1, 1, 0]
    table = ml_knn(own, targets, usable(targets, [1])[:, 0])
    assert table == pytest.approx(np.array([[1 / 3, 0.6]]))
    asked = counts(at_angles(3, 89), training, targets, [1])[..., 0]
    assert looked_up(table, asked).ravel() == pytest.approx([0.6, 1 / 3])


def test_smoothing_draws_towards_not_knowing() -> None:
    training, targets = at_angles(0, 10, 25, 80), np.array([[1], [1], [0], [0]], dtype=np.float32)
    own = counts(training, training, targets, [1], itself=True)[..., 0]
    assert ml_knn(own, targets, np.array([1]), smoothing=1e9) == pytest.approx(np.array([[0.5, 0.5]]), abs=1e-6)
    # Nearly none: shares as they are. No positive neighbour: 0 of 2 present, 1 of 2 absent.
    assert ml_knn(own, targets, np.array([1]), smoothing=1e-9) == pytest.approx(np.array([[0, 2 / 3]]), abs=1e-6)


def test_a_missing_label_costs_only_itself() -> None:
    queries, training, targets = drawn(40, 9, 0.0)
    targets[::2, 1] = np.nan

    def judged(training: np.ndarray, targets: np.ndarray) -> np.ndarray:
        own = counts(training, training, targets, [4], itself=True)[..., 0]
        table = ml_knn(own, targets, usable(targets, [4])[:, 0])
        return looked_up(table, counts(queries, training, targets, [4])[..., 0])

    found = judged(training, targets)
    assert np.array_equal(found[:, 1:2], judged(training[1::2], targets[1::2, 1:2]))
    assert np.array_equal(found[:, [0, 2]], judged(training, targets[:, [0, 2]]))


def test_a_label_that_few_studies_know_takes_all_others() -> None:
    queries, training, targets = drawn(40, 9, 0.0)
    targets[5:, 1] = np.nan
    targets[:, 2] = np.nan
    assert usable(targets, [3, 20]).tolist() == [[3, 20], [3, 4], [0, 0]]
    found = counts(queries, training, targets, [3, 20])
    assert np.array_equal(found[:, :2, 1], by_brute_force(queries, training, targets[:, :2], 20))
    assert (found[:, 2] == 0).all()
    assert np.isnan(shares(queries, training, targets, [3])[:, 2]).all()


def test_shares_by_hand() -> None:
    training, targets = at_angles(0, 60, 90), np.array([[1], [0], [1]], dtype=np.float32)
    share = shares(at_angles(0), training, targets, [1, 2], temperature=0.5).ravel()
    near, far = np.exp(1 / 0.5), np.exp(0.5 / 0.5)  # cosines 1 and 1/2
    assert share == pytest.approx([1.0, near / (near + far)])


def test_a_low_temperature_leaves_the_nearest_and_a_high_one_counts_heads() -> None:
    queries, training, targets = drawn(40, 9, 0.0)
    nearest = counts(queries, training, targets, [1])[..., 0]
    assert shares(queries, training, targets, [10], 1e-4)[..., 0] == pytest.approx(nearest, abs=1e-3)
    tenth = counts(queries, training, targets, [10])[..., 0] / 10
    assert shares(queries, training, targets, [10], 1e6)[..., 0] == pytest.approx(tenth, abs=1e-5)
