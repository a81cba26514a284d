"""The averages under weights: a resample is a matrix product, and means what repeating the rows would mean."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrgbench.metrics import counts

KINDS: tuple[counts.Average, ...] = ("micro", "macro", "weighted", "samples")


def matrices(seed: int, rows: int, labels: int = 6, often: float = 0.4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth, called = (rng.random((2, rows, labels)) < often).astype(float)
    return truth, called


@given(st.integers(0, 200), st.integers(15, 40))
def test_weights_are_repeated_rows(seed: int, rows: int) -> None:
    truth, called = matrices(seed, rows)
    times = np.random.default_rng(seed).integers(0, 3, (3, rows))
    drawn = counts.averages("x", "y", truth, called, times.astype(float), KINDS)
    exact = counts.exact_match(truth, called, times.astype(float))
    whole = counts.counts(truth, called, np.ones((1, rows)))
    for at, of_resample in enumerate(times):
        repeated = np.repeat(np.arange(rows), of_resample)
        mine = counts.counts(truth[repeated], called[repeated], np.ones((1, len(repeated))))
        if any(((here == 0) & (there > 0)).any() for here, there in zip(mine, whole, strict=True)):
            continue  # a label that only the drawing lacks is left out of its mean, by design
        again = counts.averages("x", "y", truth[repeated], called[repeated], np.ones((1, len(repeated))), KINDS)
        for name, value in again.items():
            np.testing.assert_allclose(drawn[name][at], value[0], err_msg=name)
        np.testing.assert_allclose(exact[at], (truth == called).all(axis=1)[repeated].mean())


@pytest.mark.parametrize("kind", KINDS)
def test_a_perfect_system_is_perfect_in_every_resample(kind: counts.Average) -> None:
    truth = np.eye(4)  # each label is true of one row only: most resamples lack one
    weights = np.random.default_rng(0).multinomial(4, [0.25] * 4, size=50).astype(float)
    for value in counts.averages("x", "y", truth, truth, weights, [kind]).values():
        np.testing.assert_allclose(value, 1)


def test_what_is_left_out_counts_nowhere() -> None:
    truth, called = matrices(0, 20)
    longer = [np.vstack([matrix, np.full((3, 6), np.nan)]) for matrix in (truth, called)]
    weights = np.ones((1, 20)), np.ones((1, 23))
    expected, got = (
        counts.averages("x", "y", *pair, w, KINDS) | {"exact": counts.exact_match(*pair, w)}
        for pair, w in zip([(truth, called), longer], weights, strict=True)
    )
    assert {k: float(v[0]) for k, v in got.items()} == pytest.approx({k: float(v[0]) for k, v in expected.items()})


def test_where_nothing_was_drawn_there_is_no_average() -> None:
    truth, called = matrices(0, 5, often=0.6)
    for name, value in counts.averages("x", "y", truth, called, np.zeros((1, 5)), KINDS).items():
        assert np.isnan(value).all(), name


def test_averages_are_named_as_announced() -> None:
    got = counts.averages("x", "y", *matrices(0, 5), np.ones((1, 5)), KINDS)
    assert list(got) == counts.average_names("x", ["y"], KINDS)


def test_a_label_that_a_system_never_calls_has_precision_0_in_each_resample_that_drew_its_positives() -> None:
    truth = np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    called = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    weights = np.array([[1.0, 1, 0], [0, 3, 0]])  # the second label: never called here; no positive here
    got = counts.averages("x", "y", truth, called, weights)["x_macro_precision_y"]
    np.testing.assert_allclose(got, [(1 + 0) / 2, 1.0])


def test_a_label_without_positives_in_the_data_counts_0_in_every_resample() -> None:
    truth, called = np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[1.0, 1.0], [1.0, 0.0]])
    got = counts.averages("x", "y", truth, called, np.array([[1.0, 1], [0, 2]]))["x_macro_f1_y"]
    np.testing.assert_allclose(got, 0.5)  # also where the false call was not drawn
