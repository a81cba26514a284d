"""``meteor_nltk``: NLTK's METEOR, under a name of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nltk
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nltk.translate.meteor_score import meteor_score
from rrgbench_nlg.meteor import MeteorNltk

from rrgbench.errors import UsageError
from rrgbench.types import Case

CasesOf = Callable[[list[tuple[str, str]]], list[Case]]
WORDS = st.lists(st.sampled_from(["no", "Heart", "ticker", "hearts", "large", "big.", "isn't", "1.5"]), max_size=9)
TEXT = st.one_of(WORDS.map(" ".join), st.text(max_size=30))
SPLIT = {"nltk": lambda text: nltk.word_tokenize(text), "none": str.split}


def theirs(pairs: list[tuple[str, str]], tokenizer: str) -> list[float]:
    words = SPLIT[tokenizer]
    return [meteor_score([words(truth)], words(made)) for made, truth in pairs]


@pytest.mark.usefixtures("nltk_data")
@pytest.mark.parametrize("tokenizer", ["nltk", "none"])
def test_equal_to_nltk_on_texts_of_every_kind(tokenizer: str, pairs: list[tuple[str, str]], cases_of: CasesOf) -> None:
    metric, expected = MeteorNltk(tokenizer=tokenizer), theirs(pairs, tokenizer)
    rows = metric.rows(cases_of(pairs))
    assert list(rows["meteor_nltk"]) == expected
    assert metric.reduce(rows)["meteor_nltk"] == pytest.approx(np.mean(expected))
    assert len(set(expected)) > 6


@pytest.mark.usefixtures("nltk_data")
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(pairs=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4))
def test_equal_to_nltk_on_any_text(cases_of: CasesOf, pairs: list[tuple[str, str]]) -> None:
    assert list(MeteorNltk().rows(cases_of(pairs))["meteor_nltk"]) == theirs(pairs, "nltk")


@pytest.mark.usefixtures("nltk_data")
def test_by_hand(cases_of: CasesOf) -> None:
    """Synonyms and stems match. One chunk of m words in m costs .5 / m^3, so that no report reaches 1."""
    rows = MeteorNltk().rows(
        cases_of([("The ticker beats", "the heart beat"), ("clear", "clear"), ("clear", ""), ("", "clear"), ("", "")])
    )
    assert list(rows["meteor_nltk"]) == pytest.approx([1 - 0.5 / 27, 0.5, 0, 0, 0])


@pytest.mark.usefixtures("nltk_data")
def test_synonyms_are_looked_up_by_their_stems_as_in_nltk(cases_of: CasesOf) -> None:
    """'larg' is in no dictionary: only two of the three words match, each a chunk of its own."""
    assert MeteorNltk().rows(cases_of([("The big hearts", "the large heart")])).iloc[0, 0] == pytest.approx(1 / 3)


@pytest.mark.usefixtures("nltk_data")
def test_rows_and_weights(pairs: list[tuple[str, str]], cases_of: CasesOf) -> None:
    metric, cases = MeteorNltk(), cases_of(pairs)
    rows = metric.rows(cases)
    pd.testing.assert_frame_equal(rows, pd.concat([metric.rows([case]) for case in cases]))
    counts = np.random.default_rng(0).integers(0, 3, size=(4, len(rows)))
    drawn = metric.reduce(rows, counts.astype(float))["meteor_nltk"]
    assert drawn == pytest.approx([np.repeat(rows["meteor_nltk"], row).mean() for row in counts])
    assert np.isnan(metric.reduce(metric.rows([]))["meteor_nltk"])


def test_without_the_data_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    with pytest.raises(UsageError, match=r"`python -m nltk.downloader wordnet punkt_tab`"):
        MeteorNltk()
    (tmp_path / "corpora").mkdir()
    (tmp_path / "corpora" / "wordnet.zip").write_bytes(b"PK\x05\x06" + bytes(18))  # as the downloader leaves it
    with pytest.raises(UsageError, match=r"`python -m nltk.downloader punkt_tab`"):
        MeteorNltk()
    assert MeteorNltk(tokenizer="none").signature.startswith("nltk:")


@pytest.mark.usefixtures("nltk_data")
def test_100_000_characters_are_no_matter(cases_of: CasesOf) -> None:
    rows = MeteorNltk().rows(cases_of([("the heart is big. " * 6000, "large heart"), ("y" * 100_000, "clear")]))
    assert rows["meteor_nltk"].iloc[0] > 0
    assert rows["meteor_nltk"].iloc[1] == 0
