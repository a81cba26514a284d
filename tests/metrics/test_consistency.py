"""ICON's CON and R-CON: worked out by hand on five studies."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rrgbench.errors import UsageError
from rrgbench.labelers.rules import RuleLabeler
from rrgbench.metrics.consistency import Consistency, overlap, overlaps
from rrgbench.types import Case, Report, Study


@pytest.mark.parametrize(
    ("one", "other", "expected"), [("abc", "bc", 1.0), ("ab", "bcd", 0.5), ("", "a", 0.0), ("", "", 0.0)]
)
def test_overlap_is_what_is_shared_over_the_smaller_set(one: str, other: str, expected: float) -> None:
    assert overlap(set(one), set(other)) == expected


def test_all_overlaps_at_once_equal_the_overlap_of_each_pair() -> None:
    sets = (np.random.default_rng(0).random((20, 13)) < 0.2).astype(float)
    members = [set(map(str, np.flatnonzero(row))) for row in sets]
    assert overlaps(sets) == pytest.approx(np.array([[overlap(a, b) for b in members] for a in members]))


@pytest.fixture
def metric(tmp_path: Path) -> Consistency:
    file = tmp_path / "triples.json"
    file.write_text(json.dumps({"Pleural Effusion:Positive": ["small", "left", "right", "effusion"]}))
    return Consistency(RuleLabeler(), file)


def case(study_id: str, report: str, reference: str) -> Case:
    return Case(Study(study_id, study_id), None, Report(report), report, reference)


LEFT = "small left pleural effusion ."
CASES = [
    case("a", LEFT, LEFT),
    case("b", "right pleural effusion .", LEFT),
    case("c", "the lungs are clear .", LEFT),
    case("d", LEFT, "the lungs are clear ."),  # its reference has no finding: nobody's equivalent
    case("e", LEFT, "small right pneumothorax ."),  # other findings
]


def test_con_and_r_con_by_hand(metric: Consistency) -> None:
    rows = metric.rows(CASES)
    # reports: a {small left effusion}, b {right effusion}, c {}; references all {small left effusion}
    assert rows["icon_con"].iloc[:3].tolist() == pytest.approx([(0.5 + 0) / 2, (0.5 + 0) / 2, 0])
    assert rows["icon_r_con"].iloc[:3].tolist() == pytest.approx([0.25 * 1, 0.25 * 0.5, 0])
    assert rows["icon_con"].iloc[3:].isna().all()
    assert metric.reduce(rows) == pytest.approx({"icon_con": 0.5 / 3, "icon_r_con": 0.375 / 3})


def test_images_of_one_study_are_not_each_others_equivalents(metric: Consistency) -> None:
    assert metric.rows([CASES[0], CASES[0]])["icon_con"].isna().all()


def test_a_file_without_attributes_is_refused(tmp_path: Path) -> None:
    for text in ("[]", "{}", "no json"):
        (file := tmp_path / "bad.json").write_text(text)
        with pytest.raises(UsageError, match=r"bad\.json"):
            Consistency(RuleLabeler(), file)
