"""RaTEScore's formula, on entities and vectors whose cosines can be told by eye."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rrgbench_ratescore.arithmetic import Side, covered, score
from rrgbench_ratescore.weights import FLIPS, MATRICES, TYPES

LONG, SHORT = MATRICES["long"], MATRICES["short"]
X, Y = [1.0, 0.0], [0.0, 2.0]  # at a right angle; lengths don't count
NEAR_X = [4.0, 3.0]  # cosine .8 with X, .6 with Y


def side(*entities: tuple[str, list[float]]) -> Side:
    return Side([kind for kind, _ in entities], np.array([vector for _, vector in entities]))


def test_a_match_counts_its_cosine() -> None:
    assert score(side(("DISEASE", X)), side(("DISEASE", NEAR_X)), LONG) == pytest.approx((0.8, 0.8, 0.8))


@pytest.mark.parametrize(("matrix", "flip"), [(LONG, 0.8716553966489615), (SHORT, 0.3611577852354489)])
def test_the_opposite_polarity_lowers_a_match(matrix: object, flip: float) -> None:
    one, other = side(("DISEASE", X)), side(("NON-ABNORMALITY", X))
    assert score(one, other, matrix)[0] == pytest.approx(flip)  # type: ignore[arg-type]


def test_eight_pairs_of_types_are_flips_and_anatomy_is_in_none() -> None:
    assert len(FLIPS) == 8
    assert all(("NON" in a) != ("NON" in b) and "ANATOMY" not in (a, b) for a, b in FLIPS)


def test_weights_depend_on_the_direction() -> None:
    # The disease's nearest is the anatomy (cosine .8) and the abnormality's the disease (1); of the other side, the
    # anatomy's nearest is the abnormality or the disease ...
    report = side(("DISEASE", X), ("ABNORMALITY", Y))
    reference = side(("ANATOMY", NEAR_X))
    forth = (0.9950209388542061 * 0.8 + 0.6240929990607657 * 0.6) / (0.9950209388542061 + 0.6240929990607657)
    assert covered(report, reference, LONG) == pytest.approx(forth)
    assert covered(reference, report, LONG) == pytest.approx(0.8)  # one entity: its weight cancels
    assert score(report, reference, LONG)[0] == pytest.approx(2 * forth * 0.8 / (forth + 0.8))


def test_a_few_weights_of_both_matrices() -> None:
    at = {kind: place for place, kind in enumerate(TYPES)}
    assert LONG.weight[at["DISEASE"], at["ANATOMY"]] == 0.9950209388542061
    assert LONG.weight[at["ANATOMY"], at["DISEASE"]] == 0.4592143222158069
    assert LONG.weight[at["ANATOMY"], at["NON-DISEASE"]] == 0.00013736314126696204
    assert LONG.weight[at["NON-ABNORMALITY"], at["ABNORMALITY"]] == 0.16546764653692908
    assert SHORT.weight[at["NON-DISEASE"], at["NON-ABNORMALITY"]] == 0.05650711141169969
    assert SHORT.weight[at["ABNORMALITY"], at["NON-DISEASE"]] == 0.23875064111146294


def test_an_empty_side_scores_a_half() -> None:
    nothing, something = Side([], np.zeros((0, 2))), side(("DISEASE", X))
    for pair in ((nothing, something), (something, nothing), (nothing, nothing)):
        assert score(*pair, LONG)[0] == 0.5


def test_nothing_alike_scores_zero() -> None:
    assert score(side(("DISEASE", X)), side(("DISEASE", Y)), LONG)[0] == 0.0


def test_of_equally_near_entities_the_first_counts() -> None:
    twice = [("NON-DISEASE", NEAR_X), ("DISEASE", NEAR_X)]
    assert covered(side(("DISEASE", X)), side(*twice), LONG) == pytest.approx(0.8 * LONG.flip)
    assert covered(side(("DISEASE", X)), side(*reversed(twice)), LONG) == pytest.approx(0.8)


_ENTITIES = st.lists(
    st.tuples(st.sampled_from(TYPES), st.lists(st.floats(0.01, 1), min_size=3, max_size=3)), min_size=1, max_size=6
)


@given(_ENTITIES, _ENTITIES)
def test_the_score_is_symmetrical_and_between_0_and_1(
    one: list[tuple[str, list[float]]], other: list[tuple[str, list[float]]]
) -> None:
    value, forth, back = score(side(*one), side(*other), LONG)
    assert 0.0 <= value <= 1.0 + 1e-12
    assert score(side(*other), side(*one), LONG) == pytest.approx((value, back, forth))


@given(st.lists(st.sampled_from(TYPES), min_size=1, max_size=5))
def test_the_same_entities_score_one(types: list[str]) -> None:
    same = Side(types, np.eye(5)[: len(types)])
    assert score(same, same, LONG)[0] == pytest.approx(1.0)
