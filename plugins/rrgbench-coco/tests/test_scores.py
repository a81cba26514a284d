"""``bleu``, ``rouge_l`` and ``cider``: the same numbers as pycocoevalcap's, from rows that can be resampled."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rrgbench_coco
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocoevalcap.bleu.bleu import Bleu as UpstreamBleu
from pycocoevalcap.cider.cider import Cider as UpstreamCider
from pycocoevalcap.rouge.rouge import Rouge as UpstreamRouge
from pycocoevalcap.rouge.rouge import my_lcs
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer
from rrgbench_coco.bleu import Bleu
from rrgbench_coco.cider import Cider
from rrgbench_coco.rouge_l import RougeL

from rrgbench.errors import UsageError
from rrgbench.interfaces import Metric
from rrgbench.text.subsequence import lcs_length
from rrgbench.types import Case

CasesOf = Callable[[list[tuple[str, str]]], list[Case]]
METRICS = [Bleu, RougeL, Cider]
NAMES = {Bleu: "bleu", RougeL: "rouge_l", Cider: "cider"}

VOCABULARY = ["no", "the", "heart", "lungs", "clear", "effusion", ".", "é", "中", "1.5"]
WORDS = st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=12).map(" ".join)
CORPUS = st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=8)


def upstream(pairs: list[tuple[str, str]]) -> tuple[dict[str, float], dict[str, list[float]]]:
    """The corpus's scores and the reports' scores of pycocoevalcap, for texts that are split into words."""
    candidates = {n: [candidate] for n, (candidate, _) in enumerate(pairs)}
    references = {n: [reference] for n, (_, reference) in enumerate(pairs)}
    bleu, bleus = UpstreamBleu(4).compute_score(references, candidates, verbose=0)
    rouge_l, rouge_ls = UpstreamRouge().compute_score(references, candidates)
    cider, ciders = UpstreamCider().compute_score(references, candidates)
    names = [f"bleu_{n}" for n in (1, 2, 3, 4)]
    return (
        dict(zip([*names, "rouge_l", "cider"], [*bleu, rouge_l, cider], strict=True)),
        dict(zip([*names, "rouge_l", "cider"], [*bleus, list(rouge_ls), list(ciders)], strict=True)),
    )


def ours(cases: list[Case], **options: Any) -> dict[str, float]:
    scores: dict[str, float] = {}
    for cls in METRICS:
        metric = cls(**options)
        scores.update(metric.reduce(metric.rows(cases)))
    return scores


@pytest.mark.usefixtures("java")
def test_equal_to_pycocoevalcap_from_the_reports_on(pairs: list[tuple[str, str]], cases_of: CasesOf) -> None:
    texts = {n: [{"caption": text}] for n, text in enumerate([text for pair in pairs for text in pair])}
    words = PTBTokenizer().tokenize(texts)
    corpus, _ = upstream([(words[2 * n][0], words[2 * n + 1][0]) for n in range(len(pairs))])
    assert ours(cases_of(pairs)) == pytest.approx(corpus, abs=1e-9)


KINDS = [
    ("1. Heart size normal. 2. LUNGS CLEAR...", "Heart size is normal; lungs are CLEAR."),
    ("No pneumothorax (s/p chest-tube removal), r/o PE?!", "No PTX. S/p removal of the chest tube."),
    ("Effusion: 1.5 cm, 50% [new] {old} $5 #3 & <5 mm", "Effusion (1.5 cm) - 50 % of the hemithorax < 5 mm"),
    ("\"No acute process\" 'nothing' ``quoted''", "\u201cNo acute process\u201d isn't the patient's"),
    ("tabs\tbetween\tthe words", "tabs between the words"),
    ("coração aumentado, sem derrame", "Coração normal; sem derrame pleural."),
    ("肺野清晰。心影不大", "肺野 清晰 。"),
    ("\U0001f600 lungs e\u0301 \u202e \u200b clear\u00a0", "lungs é clear"),
    ("كلا الرئتين", "الرئتين"),
    ("||| a ||| b", "a b"),
    ("&amp; &lt;b&gt; http://x.org/a?b=c a@b.org", "& <b> x.org"),
    ("clear", "clear"),
    ("?", "clear"),
    ("the heart is normal " * 300, "the heart is enlarged " * 200),
]


@pytest.mark.usefixtures("java")
def test_equal_to_pycocoevalcap_on_texts_of_every_kind(cases_of: CasesOf) -> None:
    texts = [text for pair in KINDS for text in pair]
    words = PTBTokenizer().tokenize({n: [{"caption": text}] for n, text in enumerate(texts)})
    words = [(words[n][0], words[n + 1][0]) for n in range(0, len(texts), 2)]
    corpus, reports = upstream(words)
    cases = cases_of(KINDS)
    assert ours(cases) == pytest.approx(corpus, abs=1e-9)
    for cls in (RougeL, Cider):
        assert list(cls().rows(cases)[NAMES[cls]]) == pytest.approx(reports[NAMES[cls]], abs=1e-9)
    assert all(0 < value < 10 for value in corpus.values())


@settings(deadline=None)
@given(CORPUS)
def test_equal_to_pycocoevalcap_on_any_words(cases_of: CasesOf, pairs: list[tuple[str, str]]) -> None:
    corpus, reports = upstream(pairs)
    cases = cases_of(pairs)
    assert ours(cases, tokenizer="none") == pytest.approx(corpus, abs=1e-9)
    for cls in METRICS:
        metric = cls(tokenizer="none")
        rows = metric.rows(cases)
        each = [metric.reduce(rows.iloc[[n]]) for n in range(len(rows))]
        for name in metric.higher_is_better:
            assert [scores[name] for scores in each] == pytest.approx(reports[name], abs=1e-9)


@pytest.mark.parametrize("cls", METRICS)
@settings(deadline=None)
@given(CORPUS, st.data())
def test_weights_say_how_often_a_row_was_drawn(
    cls: type, cases_of: CasesOf, pairs: list[tuple[str, str]], data: st.DataObject
) -> None:
    metric = cls(tokenizer="none")
    rows = metric.rows(cases_of(pairs))
    counts = data.draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows)).filter(any))
    weights = np.array([counts, [1] * len(rows)], float)
    drawn = metric.reduce(rows, weights)
    repeated = metric.reduce(rows.iloc[np.repeat(np.arange(len(rows)), counts)])
    plain = metric.reduce(rows)
    for name in metric.higher_is_better:
        assert drawn[name].shape == (2,)
        assert drawn[name] == pytest.approx([repeated[name], plain[name]], abs=1e-9)


@pytest.mark.parametrize("cls", METRICS)
def test_a_row_belongs_to_its_study_in_any_order(cls: type, pairs: list[tuple[str, str]], cases_of: CasesOf) -> None:
    cases = cases_of(pairs)
    rows = cls(tokenizer="none").rows(cases)
    shuffled = random.Random(0).sample(cases, len(cases))
    again = cls(tokenizer="none").rows(shuffled)
    assert list(again.index) == [case.study.study_id for case in shuffled]
    pd.testing.assert_frame_equal(again.loc[rows.index], rows, rtol=0, atol=1e-12)


@pytest.mark.parametrize("cls", [Bleu, RougeL])
def test_a_row_does_not_depend_on_the_other_reports(cls: type, pairs: list[tuple[str, str]], cases_of: CasesOf) -> None:
    cases = cases_of(pairs)
    metric = cls(tokenizer="none")
    pd.testing.assert_frame_equal(metric.rows(cases), pd.concat([metric.rows([case]) for case in cases]))


def test_cider_depends_on_the_corpus(pairs: list[tuple[str, str]], cases_of: CasesOf) -> None:
    metric = Cider(tokenizer="none")
    assert metric.rows(cases_of([pairs[2]])).iloc[0, 0] == 0
    assert metric.rows(cases_of(pairs)).loc["s2", "cider"] == pytest.approx(10)


@pytest.mark.usefixtures("java")
@pytest.mark.parametrize("empty", ["", " \n", "..."])
def test_an_empty_report_scores_0_and_shifts_nothing(
    empty: str, pairs: list[tuple[str, str]], cases_of: CasesOf
) -> None:
    full = cases_of(pairs)
    holed = cases_of([*pairs[:5], (empty, pairs[5][1]), (empty, empty), *pairs[7:]])
    for cls in METRICS:
        metric = cls()
        rows, before = metric.rows(holed), metric.rows(full)
        assert set(metric.reduce(rows.loc[["s5"]]).values()) == {0.0}
        assert set(metric.reduce(rows.loc[["s6"]]).values()) == {0.0}
        if cls is not Cider:
            others = [study for study in rows.index if study not in ("s5", "s6")]
            pd.testing.assert_frame_equal(rows.loc[others], before.loc[others])


def test_an_empty_reference_scores_0(cases_of: CasesOf) -> None:
    scores = ours(cases_of([("The lungs are clear .", "")]), tokenizer="none")
    assert max(scores.values()) < 1e-15  # BLEU's is as near to 0 as its constants allow


def test_golden_values(cases_of: CasesOf) -> None:
    """By hand: 4 of 4 words, 2 of 3 pairs, 0 of 2 triples, 1 word short of 5; the subsequence is the candidate."""
    scores = ours(cases_of([("the heart is normal", "the heart size is normal")]), tokenizer="none")
    short = np.exp(1 - 5 / 4)
    assert scores["bleu_1"] == pytest.approx(short, abs=1e-8)
    assert scores["bleu_2"] == pytest.approx((2 / 3) ** 0.5 * short, abs=1e-8)
    assert scores["bleu_3"] == pytest.approx(0, abs=1e-4)
    assert scores["rouge_l"] == pytest.approx(2.44 * 0.8 / (0.8 + 1.44))


@pytest.mark.parametrize("cls", METRICS)
def test_nothing_drawn_is_undefined(cls: type, pairs: list[tuple[str, str]], cases_of: CasesOf) -> None:
    metric = cls(tokenizer="none")
    rows = metric.rows(cases_of(pairs))
    assert all(np.isnan(values).all() for values in metric.reduce(rows, np.zeros((2, len(rows)))).values())
    assert all(np.isnan(value) for value in metric.reduce(metric.rows([])).values())


@settings(deadline=None)
@given(st.lists(st.sampled_from("abcd"), max_size=40), st.lists(st.sampled_from("abcd"), max_size=40))
def test_lcs_length_is_pycocoevalcaps(a: list[str], b: list[str]) -> None:
    assert lcs_length(a, b) == my_lcs(a, b)


def test_100_000_characters_are_no_matter(cases_of: CasesOf) -> None:
    words = random.Random(0).choices(VOCABULARY, k=17_000)
    huge = " ".join(words)
    started = time.monotonic()
    cases = cases_of([(huge, "the lungs are clear ."), (huge, " ".join(words[::-1])), ("clear", "clear")])
    assert ours(cases, tokenizer="none")["rouge_l"] > 0.3
    assert time.monotonic() - started < 10


@pytest.mark.usefixtures("no_java")
@pytest.mark.parametrize("cls", METRICS)
def test_without_java_there_is_a_way(cls: type, pairs: list[tuple[str, str]], cases_of: CasesOf) -> None:
    with pytest.raises(UsageError, match=f"apt install default-jre-headless.*{NAMES[cls]}:tokenizer=none"):
        cls()
    metric = cls(tokenizer="none")
    assert metric.reduce(metric.rows(cases_of(pairs)))


@pytest.mark.usefixtures("java")
def test_one_tokenizer_run_serves_all_metrics(
    pairs: list[tuple[str, str]], cases_of: CasesOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    bleu, rouge_l = Bleu(), RougeL()
    cases = cases_of(pairs)
    bleu.rows(cases)
    monkeypatch.setenv("PATH", "")
    assert rouge_l.reduce(rouge_l.rows(cases))["rouge_l"] > 0


@pytest.mark.usefixtures("java")
def test_registered_under_their_names() -> None:
    found: dict[str, tuple[str, ...]] = {}

    def register(name: str, target: str, *, summary: str, needs: tuple[str, ...]) -> None:
        module, _, cls = target.partition(":")
        metric = getattr(import_module(module), cls)()
        assert isinstance(metric, Metric)
        assert "pycocoevalcap:1.2" in metric.signature
        assert summary
        found[name] = needs

    rrgbench_coco.rrgbench_register_metrics(register)
    assert set(found) == {"bleu", "meteor", "rouge_l", "cider"}
    assert any(need.startswith("program:java") for need in found["meteor"])
    assert not any(need.startswith("program:java") for need in found["bleu"])
