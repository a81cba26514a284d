"""Temporal-entity F1 in Libra's form and in RadEval's: golden values worked out from the formula."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrgbench.errors import UsageError
from rrgbench.metrics.temporal import KEYWORDS, TemporalF1, TemporalF1RadEval, f1, keywords
from rrgbench.types import Case, Report, Study


@pytest.mark.parametrize(
    ("made", "truth", "expected"),
    [
        ({"stable", "new"}, {"stable", "worsened"}, 0.499999999975),
        ({"stable"}, set(), 1e-10),
        (set(), {"new"}, 2.0e-10),
        ({"new"}, {"stable"}, 2e-10 / 3),
        (set(), set(), 1.0),
    ],
)
def test_the_golden_values(made: set[str], truth: set[str], expected: float) -> None:
    assert f1(frozenset(made), frozenset(truth)) == pytest.approx(expected, rel=1e-6)


def test_there_are_44_keywords() -> None:
    assert len(KEYWORDS) == 44


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Stable. NEW left effusion, since_worsened.", {"stable", "new", "worsened"}),
        ("Unstable news; changes.", set()),
        ("larger/smaller", set()),
        ("re-\nresolved", {"resolved"}),
        ("", set()),
    ],
)
def test_keywords_are_whole_words_of_the_cleaned_text(text: str, found: set[str]) -> None:
    assert keywords(text) == found


@given(st.text())
def test_a_text_agrees_with_itself(text: str) -> None:
    assert f1(keywords(text), keywords(text)) == pytest.approx(1.0, abs=1e-9)


def cases(*pairs: tuple[str, str]) -> list[Case]:
    return [
        Case(Study(f"s{n}", f"p{n}"), None, Report(made), made, reference) for n, (made, reference) in enumerate(pairs)
    ]


def test_the_mean_of_six_reports_equals_that_of_radevals_own_test() -> None:
    # tests/test_basics.py of RadEval: six pairs with these keywords, whose temporal_f1 is .500000000075.
    six = cases(
        ("No acute process.", "No acute process."),
        ("Nothing to suggest pneumonia.", "Nothing to suggest pneumonia."),
        ("Stable cardiac enlargement.", "1.Stable cardiac enlargement.Small lungs.No effusion."),
        ("Small lungs.", "Interval improvement.2. Some opacity.3. Resolution of the effusion."),
        ("Possible edema.", "No acute process.Enlarged heart could be due to position."),
        ("No effusion.", "Increased edema."),
    )
    metric = TemporalF1()
    assert metric.reduce(metric.rows(six))["temporal_f1"] == pytest.approx(0.500000000075, abs=1e-13)


@pytest.fixture
def radeval(tmp_path: Path) -> Callable[..., TemporalF1RadEval]:
    def make(made: object, truth: object) -> TemporalF1RadEval:
        for name, content in (("made", made), ("truth", truth)):
            (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
        return TemporalF1RadEval(tmp_path / "made.json", tmp_path / "truth.json")

    return make


def test_entities_add_what_cleaning_had_glued(radeval: Callable[..., TemporalF1RadEval]) -> None:
    metric = radeval(
        {"s0": [["Larger", "OBSERVATION_MODIFIER"], ["heart", "ANATOMY"], ["new", "ANATOMY"]], "s1": []},
        {"s0": [], "s1": []},
    )
    two = cases(("A larger/smaller heart.", "A larger heart."), ("Stable.", "Stable."))
    assert TemporalF1().rows(two)["temporal_f1"].tolist() == pytest.approx([2e-10, 1.0])
    rows = metric.rows(two)
    assert rows["temporal_f1_radeval"].tolist() == pytest.approx([1.0, 1.0])
    assert rows["temporal_radeval_report"].tolist() == [1, 1]
    assert metric.reduce(rows) == {"temporal_f1_radeval": pytest.approx(1.0)}


def test_a_study_that_a_file_lacks_is_a_failure_and_an_empty_report_is_not(
    radeval: Callable[..., TemporalF1RadEval],
) -> None:
    metric = radeval({"s0": []}, {"s0": [], "s1": [], "s2": []})
    with pytest.warns(UserWarning, match=r"made\.json has no entry for 1 texts, of: s1"):
        rows = metric.rows(cases(("Stable.", "Stable."), ("New.", "New."), ("", "Stable.")))
    assert rows["temporal_f1_radeval"].tolist() == pytest.approx([1.0, float("nan"), 2e-10], nan_ok=True)
    assert metric.reduce(rows, np.array([[1.0, 5.0, 0.0]]))["temporal_f1_radeval"] == pytest.approx([1.0])


@pytest.mark.parametrize(("content", "fault"), [([], "one JSON object"), ({"s0": ["stable"]}, "'s0': must be a list")])
def test_a_file_of_another_form_is_refused(
    content: object, fault: str, radeval: Callable[..., TemporalF1RadEval]
) -> None:
    with pytest.raises(UsageError, match=fault):
        radeval(content, content)


def test_several_reports_of_a_study_are_looked_up_by_image(radeval: Callable[..., TemporalF1RadEval]) -> None:
    study = Study("s0", "p0")
    two = [Case(study, None, Report(t), t, "Stable.", image_id) for t, image_id in (("New.", "i0"), ("Worse.", "i1"))]
    with pytest.raises(UsageError, match="key it by image_id"):
        radeval({"s0": []}, {"s0": []}).rows(two)
    rows = radeval({"i0": [["stable", "OBSERVATION"]], "i1": []}, {"s0": []}).rows(two)
    assert rows["temporal_radeval_both"].tolist() == [1, 0]
    assert rows.index.tolist() == ["s0", "s0"]
