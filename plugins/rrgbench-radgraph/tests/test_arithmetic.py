"""RadGraph F1 of given annotations: by hand, and equal to the radgraph package's own reward functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rrgbench_radgraph.rewards import EMPTY, rewards

TOKENS = ["effusion", "Effusion", "left", "Left", "small", "No", "é"]
LABELS = ["OBS-DP", "OBS-DA", "ANAT-DP", "Observation::definitely present"]


def annotation(*entities: tuple[str, str, list[tuple[str, int]]]) -> dict[str, Any]:
    """Entities numbered from 1: tokens, label, and relations as (name, number of the target)."""
    return {
        "text": " ".join(tokens for tokens, _, _ in entities),
        "entities": {
            str(at): {"tokens": tokens, "label": label, "relations": [[name, str(to)] for name, to in relations]}
            for at, (tokens, label, relations) in enumerate(entities, 1)
        },
    }


@st.composite
def annotations(draw: st.DrawFn) -> dict[str, Any]:
    n = draw(st.integers(0, 6))
    relation = st.tuples(st.sampled_from(["modify", "located_at"]), st.integers(1, max(1, n)))
    entity = st.tuples(st.sampled_from(TOKENS), st.sampled_from(LABELS), st.lists(relation, max_size=3))
    return annotation(*draw(st.lists(entity, min_size=n, max_size=n)))


MADE = annotation(
    ("small", "OBS-DP", [("modify", 2)]), ("Effusion", "OBS-DP", [("located_at", 3)]), ("left", "ANAT-DP", [])
)
TRUTH = annotation(("effusion", "OBS-DP", [("located_at", 2)]), ("left", "ANAT-DP", []), ("large", "OBS-DP", []))


def test_the_four_scores_by_hand() -> None:
    """``Effusion`` is ``effusion`` in the relations of RG_bar_ER alone."""
    assert rewards(MADE, TRUTH) == {
        "radgraph_e": pytest.approx(2 * 1 / 6),  # left
        "radgraph_er": pytest.approx(2 * 1 / 6),
        "radgraph_er_bar": pytest.approx(2 * 2 / 6),  # left, and effusion located_at left
        "radgraph_relation_f1": 0.0,
        "radgraph_combined": pytest.approx(1 / 6),
    }


def test_rg_er_asks_whether_there_is_a_relation_and_not_which() -> None:
    one = annotation(("effusion", "OBS-DP", [("located_at", 2)]), ("left", "ANAT-DP", []))
    other = annotation(("effusion", "OBS-DP", [("modify", 2)]), ("left", "ANAT-DP", []))
    without = annotation(("effusion", "OBS-DP", []), ("left", "ANAT-DP", []))
    assert rewards(one, other)["radgraph_er"] == 1.0
    assert rewards(one, other)["radgraph_er_bar"] == 0.5
    assert rewards(one, without)["radgraph_er"] == 0.5
    assert rewards(one, without)["radgraph_e"] == 1.0


def test_a_relation_of_radcliq_has_the_label_of_its_target() -> None:
    one = annotation(("effusion", "OBS-DP", [("located_at", 2)]), ("left", "ANAT-DP", []))
    other = annotation(("effusion", "OBS-DP", [("located_at", 2)]), ("left", "OBS-DP", []))
    assert rewards(one, one)["radgraph_combined"] == 1.0
    assert rewards(one, other)["radgraph_combined"] == 0.25


def test_identical_texts_without_a_relation_have_half_of_radcliq_s_variant() -> None:
    alone = annotation(("effusion", "OBS-DA", []))
    assert rewards(alone, alone) == dict.fromkeys(("radgraph_e", "radgraph_er", "radgraph_er_bar"), 1.0) | {
        "radgraph_relation_f1": 0.0,
        "radgraph_combined": 0.5,
    }


@pytest.mark.parametrize(("made", "truth"), [(EMPTY, TRUTH), (MADE, EMPTY), (EMPTY, EMPTY)])
def test_an_empty_side_scores_0(made: dict[str, Any], truth: dict[str, Any]) -> None:
    assert set(rewards(made, truth).values()) == {0.0}


@given(annotations(), annotations())
def test_scores_lie_between_0_and_1_and_don_t_depend_on_which_side_is_which(a: Any, b: Any) -> None:
    assert rewards(a, b) == rewards(b, a)
    assert all(0.0 <= value <= 1.0 for value in rewards(a, b).values())


@pytest.fixture(scope="module")
def package() -> Any:
    pytest.importorskip("torch", reason="needs torch")
    from rrgbench import torchvision_ops

    torchvision_ops.declare_missing()
    return pytest.importorskip("radgraph.rewards", reason="needs radgraph")


@given(annotations(), annotations())
def test_the_package_s_own_functions_say_the_same(package: Any, made: Any, truth: Any) -> None:
    ours = rewards(made, truth)
    theirs = package.compute_reward(made, truth, "all")
    assert [ours[f"radgraph_{level}"] for level in ("e", "er", "er_bar")] == pytest.approx(list(theirs), abs=1e-6)


@given(annotations(), annotations())
def test_radcliq_s_variant_is_the_mean_of_two_f1_from_counts(made: Any, truth: Any) -> None:
    """The sums of CXR-Report-Metric's ``compute_f1``, written out over true positives."""

    def f1(a: set[Any], b: set[Any]) -> float:
        right = len(a & b)
        precision, recall = (right / len(side) if side else 0.0 for side in (a, b))
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0

    def sets(given: Any) -> tuple[set[Any], set[Any]]:
        named = {key: (e["tokens"], e["label"]) for key, e in given["entities"].items()}
        found = {(named[k], named[to], name) for k, e in given["entities"].items() for name, to in e["relations"]}
        return set(named.values()), found

    expected = np.mean([f1(a, b) for a, b in zip(sets(made), sets(truth), strict=True)])
    assert rewards(made, truth)["radgraph_combined"] == pytest.approx(expected, abs=1e-9)
