"""``meteor``: METEOR 1.5's own numbers, and a Java process that can neither hang nor shift."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pycocoevalcap.meteor.meteor import Meteor as Upstream
from rrgbench_coco import meteor, text
from rrgbench_coco.meteor import Meteor

from rrgbench.errors import RunError, UsageError
from rrgbench.types import Case

CasesOf = Callable[[list[tuple[str, str]]], list[Case]]

# What has broken wrappers of METEOR, each with the plain text that must give the same statistics.
NASTY = [
    ("The heart\nis\r\nnormal.", "The heart is normal."),
    ("The heart \u2028is\x00 normal.", "The heart is normal."),
    ("", ""),
    ("\n", ""),
    ("...", ""),
]
ODD = [
    "||| heart |||",
    "EVAL ||| 1 2 3",
    "\U0001f600 中文 é \u0301\u202e",
    "a" * 5000,
    "SCORE",
    "\ufeff\ufffe",
    "x " * 300,
]

# A program like METEOR: 23 numbers a line, the first of which is the number of words in the candidate.
METEOR_LIKE = """
for line in sys.stdin:
    fields = line.split("|||")
    assert len(fields) == 3, fields
    if "HANG" in line: time.sleep(60)
    if "DIE" in line: sys.exit("java.lang.OutOfMemoryError: Java heap space")
    print(*[float(len(fields[2].split()))] * 23, flush=True)
"""


@pytest.fixture(scope="module")
def batch(java: None, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The pairs, the nasty texts beside the plain ones, odd and random ones, and the pairs again, backwards."""
    rng = random.Random(0)
    words = ["no", "the", "heart", "lungs", "clear", "are", "is.", "enlarged", "enlargement", "(tiny)", "1.5", "|||"]
    drawn = [" ".join(rng.choices(words, k=rng.randrange(30))) for _ in range(120)]
    return [
        *pairs,
        *((candidate, "The heart is normal in size.") for both in NASTY for candidate in both),
        *((odd, "No heart failure.") for odd in ODD),
        *(("No heart failure.", odd) for odd in [*ODD, ""]),
        ("", ""),
        *zip(drawn[::2], drawn[1::2], strict=True),
        *pairs[::-1],
    ]


@pytest.fixture(scope="module")
def rows(batch: list[tuple[str, str]], cases_of: CasesOf) -> pd.DataFrame:
    return Meteor().rows(cases_of(batch))


def test_equal_to_pycocoevalcap_per_report_and_in_all(batch: list[tuple[str, str]], rows: pd.DataFrame) -> None:
    candidates = text.tokenized([candidate for candidate, _ in batch], "ptb")
    references = text.tokenized([reference for _, reference in batch], "ptb")
    score, scores = Upstream().compute_score(
        {n: [reference] for n, reference in enumerate(references)},
        {n: [candidate] for n, candidate in enumerate(candidates)},
    )
    metric = Meteor()
    each = [metric.reduce(rows.iloc[[n]])["meteor"] for n in range(len(rows))]
    assert each == pytest.approx(scores, abs=1e-9)
    assert metric.reduce(rows)["meteor"] == pytest.approx(score, abs=1e-9)
    assert 0.1 < score < 0.9
    assert len(set(scores)) > 50


def test_nasty_white_space_changes_nothing(pairs: list[tuple[str, str]], rows: pd.DataFrame) -> None:
    for n in range(len(pairs), len(pairs) + 2 * len(NASTY), 2):
        assert rows.iloc[n].to_list() == rows.iloc[n + 1].to_list()


def test_rows_do_not_depend_on_the_place(pairs: list[tuple[str, str]], rows: pd.DataFrame) -> None:
    first, last = rows.iloc[: len(pairs)], rows.iloc[-len(pairs) :]
    np.testing.assert_array_equal(first.to_numpy(), last.to_numpy()[::-1])


def test_identical_is_1_and_empty_is_0(batch: list[tuple[str, str]], rows: pd.DataFrame) -> None:
    metric = Meteor()
    assert metric.reduce(rows.iloc[[2]])["meteor"] == pytest.approx(1)
    assert metric.reduce(rows.iloc[[2, 19]])["meteor"] == pytest.approx(1)
    for pair in [("", "The heart is normal in size."), ("No heart failure.", ""), ("", "")]:
        assert metric.reduce(rows.iloc[[batch.index(pair)]])["meteor"] == 0
    empty = rows.iloc[batch.index(("", "The heart is normal in size."))]
    assert empty["meteor_reference_words"] == 6  # an empty report still costs recall


def test_weights_say_how_often_a_row_was_drawn(rows: pd.DataFrame) -> None:
    metric = Meteor()
    counts = np.random.default_rng(0).integers(0, 4, size=(5, len(rows)))
    drawn = metric.reduce(rows, counts.astype(float))["meteor"]
    repeated = [metric.reduce(rows.iloc[np.repeat(np.arange(len(rows)), row)])["meteor"] for row in counts]
    assert drawn == pytest.approx(repeated, abs=1e-9)
    assert np.isnan(metric.reduce(rows, np.zeros((1, len(rows))))["meteor"]).all()


@pytest.mark.usefixtures("no_java")
@pytest.mark.parametrize("tokenizer", ["ptb", "none"])
def test_without_java_there_is_no_meteor(tokenizer: text.Tokenizer) -> None:
    with pytest.raises(UsageError, match=r"apt install default-jre-headless.*no way, other METEORs give other scores"):
        Meteor(tokenizer=tokenizer)


def test_the_field_separator_in_a_report_is_not_one(fake_java: Callable[[str], Path], cases_of: CasesOf) -> None:
    fake_java(METEOR_LIKE)
    rows = Meteor(tokenizer="none").rows(cases_of([("no ||| heart||||failure", "a ||| b"), ("clear", "|||")]))
    assert rows["meteor_candidate_words"].to_list() == [3, 1]


@pytest.mark.parametrize(("word", "why"), [("HANG", "stopped after 1 s"), ("DIE", "OutOfMemoryError")])
def test_only_the_report_that_meteor_cannot_do_has_no_score(
    word: str, why: str, fake_java: Callable[[str], Path], cases_of: CasesOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids = fake_java(METEOR_LIKE)
    monkeypatch.setattr(meteor, "_SECONDS_A_REPORT", 1.0)
    cases = cases_of([("a", "x"), (word, "x"), ("a b", "x"), ("a b c", "x"), (f"{word} again", "x")])
    metric = Meteor(tokenizer="none")
    with pytest.warns(UserWarning, match=rf"s1 .*{why}.* s4 "):
        rows = metric.rows(cases)
    np.testing.assert_array_equal(rows["meteor_candidate_words"], [1, np.nan, 2, 3, np.nan])
    assert list(rows.dropna(how="all").index) == ["s0", "s2", "s3"]
    assert metric.reduce(rows) == metric.reduce(rows.dropna())
    assert metric.reduce(rows, np.ones((1, 5)))["meteor"] == metric.reduce(rows)["meteor"]
    for pid in pids.read_text().split():
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


def test_no_row_at_all_is_undefined(
    fake_java: Callable[[str], Path], cases_of: CasesOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_java(METEOR_LIKE)
    metric = Meteor(tokenizer="none")
    with pytest.warns(UserWarning, match="s0"):
        rows = metric.rows(cases_of([("DIE", "x")]))
    assert np.isnan(metric.reduce(rows)["meteor"])
    assert np.isnan(metric.reduce(metric.rows([]))["meteor"])


def test_it_gives_up_when_nothing_works(
    fake_java: Callable[[str], Path], cases_of: CasesOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids = fake_java(METEOR_LIKE)
    with pytest.raises(RunError, match="too many reports: s0 "):
        Meteor(tokenizer="none").rows(cases_of([("DIE", "x")] * 100))
    assert len(pids.read_text().split()) < 20


def test_a_meteor_that_does_not_start_is_an_error(fake_java: Callable[[str], Path], cases_of: CasesOf) -> None:
    fake_java("sys.exit('Error: Invalid or corrupt jarfile')")
    with pytest.raises(RunError, match=r"does not start .*corrupt jarfile"):
        Meteor(tokenizer="none").rows(cases_of([("a", "x")]))


@pytest.mark.slow
@pytest.mark.usefixtures("java")
def test_the_real_one_is_stopped_too(cases_of: CasesOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meteor, "_SECONDS_A_REPORT", 5.0)
    loop = "the " * 2000
    with pytest.warns(UserWarning, match="s1"):
        rows = Meteor().rows(cases_of([("clear lungs", "clear"), (loop, loop), ("normal heart size", "normal")]))
    np.testing.assert_array_equal(rows["meteor_candidate_words"], [2, np.nan, 3])


@pytest.mark.slow
@pytest.mark.usefixtures("java")
def test_100_000_characters_are_scored(pairs: list[tuple[str, str]], cases_of: CasesOf) -> None:
    huge = " ".join(random.Random(0).choices(" ".join(both for pair in pairs for both in pair).split(), k=20_000))
    rows = Meteor().rows(
        cases_of([("clear lungs", "clear"), (huge[:100_000], pairs[0][1]), ("normal heart", "normal")])
    )
    assert rows["meteor_candidate_words"].gt(0).all()
    assert rows["meteor_candidate_words"].iloc[[0, 2]].to_list() == [2, 2]
