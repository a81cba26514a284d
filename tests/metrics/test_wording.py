"""What unmasks a system that writes one report for everybody."""

from __future__ import annotations

import numpy as np
import pytest

from rrgbench.metrics.wording import Wording
from rrgbench.types import Case, Report, Study


def cases(*pairs: tuple[str, str]) -> list[Case]:
    return [Case(Study(str(i), str(i)), None, Report(made), made, truth) for i, (made, truth) in enumerate(pairs)]


def test_the_figures_by_hand() -> None:
    metric = Wording()
    rows = metric.rows(cases(("No effusion.", "No effusion."), ("No effusion.", "Clear lungs. No effusion.")))
    assert metric.reduce(rows) == pytest.approx(
        {
            "exact_match": 0.5,
            "length_error": np.log2(6 / 4),
            "distinct_reports": 0.5,
            "distinct_words": 2 / 4,
        }
    )


def test_a_resample_counts_what_it_drew() -> None:
    metric = Wording()
    rows = metric.rows(cases(("a b", "a b"), ("c", "d e")))
    weights = np.array([[2.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    drawn = metric.reduce(rows, weights)
    assert drawn["distinct_words"] == pytest.approx([2 / 4, 1.0, 1.0])
    assert drawn["distinct_reports"] == pytest.approx([0.5, 1.0, 1.0])
    assert drawn["length_error"] == pytest.approx([0.0, 1.0, np.log2(4 / 3)])


def test_reports_without_a_word_have_no_length_error() -> None:
    metric = Wording()
    assert np.isnan(metric.reduce(metric.rows(cases(("...", "a"))))["length_error"])
