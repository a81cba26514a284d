"""What holds for every metric that reads text and runs here without options, whatever the texts are.

It answers, or fails that one report by name; nothing shifts to another report; order and company don't matter.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rrgbench.errors import UsageError
from rrgbench.labels import CHEXPERT
from rrgbench.parts import build
from rrgbench.plugins import catalogue
from rrgbench.types import Case, Finding, Findings, Report, Status, Study

NAMES = [entry.name for entry in catalogue().of_kind("metric")]
JAVA = {"bleu", "cider", "meteor", "rouge_l"}  # a process a call, METEOR's of many seconds: few examples
CORPUS_LEVEL = {"cider", "icon"}  # a report's rows depend on the other reports, as their docs say

MARKER = ("The heart is mildly enlarged. No pleural effusion.", "Mild cardiomegaly, unchanged. No effusion.")
FINDINGS = Findings(CHEXPERT, {"Cardiomegaly": Finding("Cardiomegaly", Status.PRESENT)})
PIECES = [
    *("heart", "is enlarged.", "No", "pneumothorax", "stable", "?", "...", "1.5 cm", "No.", "-lrb-", "IMPRESSION:"),
    *("\n", "\r", "\r\n", "\t", "\v", "\f", "\x00", "\x1c", "\x85", "\xa0", "\u2028", "\u2029", "\ufeff", "\ud800"),
    *(
        "|||",
        "EVAL ||| 1",
        '<a b="',
        "</a>",
        "&amp;",
        "{",
        "'",
        '"',
        "%s",
        "\\",
        "\U0001f600",
        "e\u0301",
        "中文",
        "\u202e",
    ),
]
TEXT = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join),
    st.lists(st.sampled_from(PIECES), max_size=6).map("".join),
    st.text(max_size=30),
)


@pytest.fixture(scope="module")
def metric(request: pytest.FixtureRequest) -> Any:
    """The metric of a name as a run without options uses it; skipped where it can't be used here."""
    try:
        made = build(catalogue(), "metric", request.param).obj
    except UsageError as error:
        pytest.skip(str(error))
    if "report" not in made.needs:
        pytest.skip("does not read reports")
    return made


def cases(pairs: Iterable[tuple[str, str]]) -> list[Case]:
    return [Case(Study(f"s{n}", f"p{n}"), FINDINGS, Report(a), a, b) for n, (a, b) in enumerate(pairs)]


def check(name: str, metric: Any, pairs: Sequence[tuple[str, str]], place: int, alone: bool) -> None:
    """The properties, for a batch with the marker in some place, followed by the same batch backwards."""
    batch = cases([*pairs[:place], MARKER, *pairs[place:]])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rows = metric.rows([*batch, *batch[::-1]])
    assert list(rows.index) == [case.study.study_id for case in (*batch, *batch[::-1])]
    forward, backward = rows.iloc[: len(batch)], rows.iloc[: len(batch) - 1 : -1]
    same(forward, backward)
    assert rows.iloc[place].notna().any(), "the marker has no score"
    for failed in forward.index[forward.isna().all(axis=1)]:
        assert any(failed in str(warning.message) for warning in caught), f"{failed} has no score and is not named"
    if name not in CORPUS_LEVEL:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for at in range(len(batch)) if alone else [place]:
                same(forward.iloc[[at]], metric.rows([batch[at]]))
    scores = metric.reduce(rows)
    assert set(scores) <= set(metric.higher_is_better)
    drawn = metric.reduce(rows, np.ones((2, len(rows))))
    for score, value in scores.items():
        np.testing.assert_allclose(drawn[score], [value, value], rtol=1e-9)


def same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(one, other, rtol=0, atol=1e-5, check_dtype=False)


@pytest.mark.parametrize(("metric", "name"), [(n, n) for n in NAMES if n not in JAVA], indirect=["metric"])
@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(pairs=st.lists(st.tuples(TEXT, TEXT), max_size=4), place=st.integers(0, 4))
def test_any_text(metric: Any, name: str, pairs: list[tuple[str, str]], place: int) -> None:
    check(name, metric, pairs, min(place, len(pairs)), alone=True)


def nasty() -> list[tuple[str, str]]:
    """Every piece alone, within words, and none at all, on either side and on both."""
    both = [(piece, f"heart{piece}normal") for piece in PIECES]
    return [("", ""), ("", MARKER[1]), (MARKER[0], ""), *both, *[(b, a) for a, b in both], ("clear", "clear")]


@pytest.mark.parametrize(("metric", "name"), [(n, n) for n in NAMES if n in JAVA], indirect=["metric"])
def test_any_text_through_java(metric: Any, name: str) -> None:
    check(name, metric, nasty(), 5, alone=False)


@pytest.mark.parametrize(("metric", "name"), [(n, n) for n in NAMES if n != "meteor"], indirect=["metric"])
def test_100_000_characters(metric: Any, name: str) -> None:
    """METEOR takes minutes and may fail such a report by name; its own tests have it."""
    words = random.Random(0).choices(" ".join(MARKER).split(), k=20_000)
    huge = " ".join(words)[:100_000]
    check(
        name,
        metric,
        [(huge, MARKER[1]), (huge, huge[::-1]), ("a" * 100_000, huge), ("\n" * 100_000, "")],
        2,
        alone=False,
    )
