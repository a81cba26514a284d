"""How well a map agrees with boxes, against answers known beforehand."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rrgbench.saliency.measures import SIDE, covered, enlarged, hits, overlap, peak, standing_out
from rrgbench.types import Box

BOX = Box(0.25, 0.5, 0.25, 0.125)
GRIDS = st.tuples(st.integers(1, 8), st.integers(1, 8)).filter(lambda shape: shape[0] * shape[1] > 1)


@given(GRIDS, st.randoms(use_true_random=False))
def test_a_map_points_at_the_middle_of_its_greatest_cell_at_the_border_too(
    shape: tuple[int, int], random: object
) -> None:
    height, width = shape
    values = np.array(random.sample(range(100), height * width), dtype=np.float32).reshape(shape)  # type: ignore[attr-defined]
    y, x = np.unravel_index(values.argmax(), shape)
    found = peak(enlarged(values))
    assert found == pytest.approx(((x + 0.5) / width, (y + 0.5) / height), abs=1.01 / SIDE * max(height, width))


def test_a_map_is_enlarged_in_its_own_aspect_and_a_fine_one_stays() -> None:
    assert enlarged(np.ones((4, 8), np.float32)).shape == (SIDE // 2, SIDE)
    fine = np.random.default_rng(0).random((700, 20)).astype(np.float32)
    assert enlarged(fine) is fine


def test_a_map_that_is_the_same_everywhere_points_nowhere_and_marks_nothing() -> None:
    for value in (0.0, 3.5):
        found = np.full((16, 16), value, np.float32)
        assert peak(found) is None and not hits(peak(found), [Box(0, 0, 1, 1)])
        assert not standing_out(found).any()


@pytest.mark.parametrize(
    ("point", "inside"),
    [((0.3, 0.55), True), ((0.25, 0.5), True), ((0.5, 0.625), True), ((0.51, 0.55), False), ((0.3, 0.49), False)],
)
def test_a_point_in_a_box_or_on_its_edge_hits(point: tuple[float, float], inside: bool) -> None:
    assert hits(point, [BOX]) is inside
    assert hits(point, [Box(0.9, 0.9, 0.1, 0.1), BOX]) is inside  # any of them
    assert hits(point, []) is False


def test_boxes_cover_their_share_of_any_image_and_overlapping_ones_count_once() -> None:
    assert covered([BOX], (64, 32)).mean() == BOX.width * BOX.height
    assert covered([BOX, BOX], (64, 32)).sum() == covered([BOX], (64, 32)).sum()
    inside = covered([BOX], (8, 8))
    assert inside[4, 2:4].all() and inside.sum() == 2


def test_overlap() -> None:
    left, upper = covered([Box(0, 0, 0.5, 1)], (8, 8)), covered([Box(0, 0, 1, 0.5)], (8, 8))
    assert overlap(left, left) == 1 and overlap(left, ~left) == 0
    assert overlap(left, upper) == pytest.approx(16 / 48)
    assert overlap(np.zeros((8, 8), bool), np.zeros((8, 8), bool)) == 0


def test_what_stands_out_of_two_levels_is_the_upper_one() -> None:
    inside = covered([BOX], (64, 64))
    noise = np.random.default_rng(0).normal(0, 0.05, (64, 64))
    found = (np.where(inside, 2.0, 1.0) + noise).astype(np.float32)
    assert (standing_out(found) == inside).all()


@given(arrays(np.float32, (6, 7), elements=st.integers(0, 255)))
def test_the_threshold_parts_the_values_as_far_as_any_can(values: npt.NDArray[np.float32]) -> None:
    values[0, 0], values[0, 1] = 0, 255  # so that the 256 levels of the histogram are the values themselves

    def between(mask: npt.NDArray[np.bool_]) -> float:
        share = mask.mean()
        return float(share * (1 - share) * (values[mask].mean() - values[~mask].mean()) ** 2)

    best = max(between(values > threshold) for threshold in range(255))
    assert between(standing_out(values)) == pytest.approx(best, rel=1e-4)


@given(arrays(np.float32, (6, 7), elements=st.integers(0, 50)), st.sampled_from([0.25, 2.0, 64.0]))
def test_the_strength_of_a_map_doesn_t_matter(values: npt.NDArray[np.float32], by: float) -> None:
    assert (standing_out(values) == standing_out(values * np.float32(by))).all()
    assert peak(values) == peak(values * np.float32(by))
