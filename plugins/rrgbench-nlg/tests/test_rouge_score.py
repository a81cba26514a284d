"""``rouge_score``: the numbers of Google's rouge-score."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from rrgbench_nlg.rouge import RougeScore

from rrgbench.types import Case

CasesOf = Callable[[list[tuple[str, str]]], list[Case]]
WORDS = st.lists(st.sampled_from(["no", "the", "Hearts", "lungs", "enlarged", "enlarging.", "1.5", "é"]), max_size=9)
TEXT = st.one_of(WORDS.map(" ".join), st.text(max_size=30))
TYPES = {"rouge_score_1": "rouge1", "rouge_score_2": "rouge2", "rouge_score_l": "rougeL"}


def theirs(pairs: list[tuple[str, str]], stemmer: bool) -> pd.DataFrame:
    scorer = RougeScorer(list(TYPES.values()), use_stemmer=stemmer)
    scores = [scorer.score(truth, made) for made, truth in pairs]
    return pd.DataFrame({name: [score[kind].fmeasure for score in scores] for name, kind in TYPES.items()})


@pytest.mark.parametrize("stemmer", [False, True])
def test_equal_to_rouge_score_on_texts_of_every_kind(
    stemmer: bool, pairs: list[tuple[str, str]], cases_of: CasesOf
) -> None:
    metric, expected = RougeScore(stemmer=stemmer), theirs(pairs, stemmer)
    rows = metric.rows(cases_of(pairs))
    np.testing.assert_allclose(rows, expected, rtol=0, atol=1e-12)
    assert metric.reduce(rows) == pytest.approx(expected.mean().to_dict(), abs=1e-12)
    assert rows["rouge_score_1"].nunique() > 6


@given(pairs=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=5), stemmer=st.booleans())
def test_equal_to_rouge_score_on_any_text(cases_of: CasesOf, pairs: list[tuple[str, str]], stemmer: bool) -> None:
    np.testing.assert_allclose(RougeScore(stemmer).rows(cases_of(pairs)), theirs(pairs, stemmer), rtol=0, atol=1e-12)


def test_stemming_makes_a_difference(cases_of: CasesOf) -> None:
    cases = cases_of([("enlarged hearts", "enlarging heart")])
    assert list(RougeScore().rows(cases).iloc[0]) == [0, 0, 0]
    assert list(RougeScore(stemmer=True).rows(cases).iloc[0]) == [1, 1, 1]


def test_weights_say_how_often_a_row_was_drawn(pairs: list[tuple[str, str]], cases_of: CasesOf) -> None:
    metric = RougeScore()
    rows = metric.rows(cases_of(pairs))
    counts = np.random.default_rng(0).integers(0, 3, size=(4, len(rows)))
    drawn = metric.reduce(rows, counts.astype(float))
    for name in metric.higher_is_better:
        assert drawn[name] == pytest.approx([np.repeat(rows[name], row).mean() for row in counts])
    assert np.isnan(metric.reduce(metric.rows([]))["rouge_score_l"])


def test_identical_is_1_and_without_a_latin_letter_or_digit_0(cases_of: CasesOf) -> None:
    rows = RougeScore().rows(cases_of([("The lungs", "the lungs!"), ("lungs", "lungs"), ("肺", "肺"), ("", "")]))
    assert rows.to_numpy().tolist() == [[1, 1, 1], [1, 0, 1], [0, 0, 0], [0, 0, 0]]  # one word has no pair of words


def test_100_000_characters_are_no_matter(cases_of: CasesOf) -> None:
    words = random.Random(0).choices(["the", "heart", "is", "not", "enlarged"], k=20_000)
    pairs = [(" ".join(words), " ".join(words[::-1])), ("y" * 100_000, "clear"), ("clear", "clear")]
    started = time.monotonic()
    rows = RougeScore(stemmer=True).rows(cases_of(pairs))
    assert time.monotonic() - started < 30
    assert rows["rouge_score_l"].iloc[0] > 0.5
    assert rows["rouge_score_l"].iloc[1:].to_list() == [0, 1]
