"""``sacrebleu``: sacreBLEU's own numbers, from rows that can be resampled."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st
from rrgbench_nlg.sacre import SacreBleu

from rrgbench.types import Case

CasesOf = Callable[[list[tuple[str, str]]], list[Case]]
WORDS = st.lists(st.sampled_from(["no", "the", "Heart", "lungs", "is", "clear.", "1.5", "cm-é"]), max_size=9)
TEXT = st.one_of(WORDS.map(" ".join), st.text(max_size=30))


def theirs(pairs: list[tuple[str, str]], **options: object) -> float:
    return sacrebleu.corpus_bleu([made for made, _ in pairs], [[truth for _, truth in pairs]], **options).score


def ours(cases: list[Case], **options: object) -> float:
    metric = SacreBleu(**options)
    return metric.reduce(metric.rows(cases))["sacrebleu"]


@pytest.mark.parametrize("tokenize", ["13a", "intl", "char", "none"])
@pytest.mark.parametrize("lowercase", [False, True])
def test_equal_to_sacrebleu_on_texts_of_every_kind(
    tokenize: str, lowercase: bool, pairs: list[tuple[str, str]], cases_of: CasesOf
) -> None:
    score = ours(cases_of(pairs), tokenize=tokenize, lowercase=lowercase)
    assert score == pytest.approx(theirs(pairs, tokenize=tokenize, lowercase=lowercase), abs=1e-9)
    assert 10 < score < 90


@given(pairs=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=5))
def test_equal_to_sacrebleu_on_any_corpus(cases_of: CasesOf, pairs: list[tuple[str, str]]) -> None:
    assert ours(cases_of(pairs)) == pytest.approx(theirs(pairs), abs=1e-9)


@given(counts=st.lists(st.integers(0, 3), min_size=16, max_size=16).filter(any))
def test_weights_say_how_often_a_row_was_drawn(
    pairs: list[tuple[str, str]], cases_of: CasesOf, counts: list[int]
) -> None:
    metric = SacreBleu()
    rows = metric.rows(cases_of(pairs))
    drawn = metric.reduce(rows, np.array([counts, [1] * len(rows), [0] * len(rows)], float))["sacrebleu"]
    repeated = [pair for pair, count in zip(pairs, counts, strict=True) for _ in range(count)]
    assert drawn[:2] == pytest.approx([theirs(repeated), theirs(pairs)], abs=1e-9)
    assert np.isnan(drawn[2])


def test_a_row_does_not_depend_on_the_others(pairs: list[tuple[str, str]], cases_of: CasesOf) -> None:
    cases, metric = cases_of(pairs), SacreBleu()
    pd.testing.assert_frame_equal(metric.rows(cases), pd.concat([metric.rows([case]) for case in cases]))


def test_its_own_signature_is_in_ours() -> None:
    assert SacreBleu(lowercase=True).signature == (
        f"nrefs:1|case:lc|eff:no|tok:13a|smooth:exp|version:{sacrebleu.__version__}"
    )


def test_identical_is_100_only_from_four_words_on(cases_of: CasesOf) -> None:
    assert ours(cases_of([("The lungs are clear.", "The lungs are clear.")])) == pytest.approx(100)
    assert ours(cases_of([("Clear.", "Clear.")])) == 0  # two words and no 4-gram: not 100
    for pair in [("", "The lungs are clear."), ("The lungs are clear.", ""), ("", "")]:
        assert ours(cases_of([pair])) == 0
    assert np.isnan(SacreBleu().reduce(SacreBleu().rows([]))["sacrebleu"])
