"""``bertscore``: bert-score's own numbers, from weights on this machine."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rrgbench_bertscore import upstream
from rrgbench_bertscore.metric import BertScore

from rrgbench.devices import pick_device
from rrgbench.errors import UsageError
from rrgbench.interfaces import Metric
from rrgbench.parts import build
from rrgbench.plugins import catalogue
from rrgbench.types import Case

bert_score = upstream.bert_score
CasesOf = Callable[[list[tuple[str, str]]], list[Case]]
MODEL = "all-MiniLM-L6-v2"  # bert-score knows no layer and no baseline of it


@pytest.fixture(scope="module")
def metric(minilm: Path) -> BertScore:
    return BertScore(model=MODEL, folder=minilm, layer=6, rescale=False)


def theirs(pairs: list[tuple[str, str]], folder: Path, layer: int, **options: object) -> np.ndarray:
    made, truth = zip(*pairs, strict=True)
    scores = bert_score.score(list(made), list(truth), model_type=str(folder), num_layers=layer, nthreads=0, **options)
    return np.stack([part.numpy() for part in scores], axis=1)


@pytest.mark.parametrize("idf", [False, True])
def test_equal_to_bert_score(idf: bool, pairs: list[tuple[str, str]], cases_of: CasesOf, minilm: Path) -> None:
    metric = BertScore(model=MODEL, folder=minilm, layer=6, rescale=False, idf=idf)
    expected = theirs(pairs, minilm, 6, idf=idf)
    rows = metric.rows(cases_of(pairs))
    np.testing.assert_allclose(rows, expected, rtol=0, atol=1e-6)
    assert list(metric.reduce(rows).values()) == pytest.approx(expected.mean(axis=0), abs=1e-6)
    assert np.ptp(expected[:, 2]) > 0.3


def test_rescaled_by_the_baseline_of_the_named_model(
    pairs: list[tuple[str, str]], cases_of: CasesOf, minilm: Path
) -> None:
    metric = BertScore(model="distilroberta-base", folder=minilm)
    table = Path(inspect.getfile(bert_score)).parent / "rescale_baseline" / "en" / "distilroberta-base.tsv"
    expected = theirs(pairs, minilm, 5, rescale_with_baseline=True, lang="en", baseline_path=str(table))
    np.testing.assert_allclose(metric.rows(cases_of(pairs)), expected, rtol=0, atol=1e-5)
    assert "layer:5" in metric.signature  # bert-score's choice for the model
    assert upstream.baseline("distilroberta-base", 5).tolist() == pytest.approx([0.84732, 0.84759504, 0.8473319])


def test_rows_do_not_depend_on_batch_or_order(
    metric: BertScore, pairs: list[tuple[str, str]], cases_of: CasesOf, minilm: Path
) -> None:
    cases = [*cases_of(pairs), *cases_of([("", "clear")])]
    rows = metric.rows(cases)
    small = BertScore(model=MODEL, folder=minilm, layer=6, rescale=False, batch=2)
    np.testing.assert_allclose(small.rows(cases), rows, rtol=0, atol=1e-5)
    np.testing.assert_allclose(metric.rows(cases[::-1])[::-1], rows, rtol=0, atol=1e-5)
    alone = [metric.rows([case]).iloc[0] for case in cases]
    np.testing.assert_allclose(alone, rows, rtol=0, atol=1e-5)
    assert list(rows.index) == [case.study.study_id for case in cases]


def test_identical_is_1_and_without_a_word_is_0(metric: BertScore, cases_of: CasesOf) -> None:
    rows = metric.rows(
        cases_of([("clear", "clear"), ("", "clear"), ("clear", ""), ("", ""), (" \n", "clear"), ("\x00", "clear")])
    )
    np.testing.assert_allclose(rows.iloc[0], 1, atol=1e-6)
    assert (rows.iloc[1:] == 0).all(axis=None)


def test_without_a_word_rescaled_is_far_below_0(cases_of: CasesOf, minilm: Path) -> None:
    rows = BertScore(model="distilroberta-base", folder=minilm).rows(cases_of([("", "clear")]))
    assert rows["bertscore_f1"].iloc[0] == pytest.approx(-0.8473319 / (1 - 0.8473319), abs=1e-4)


def test_what_no_tokenizer_can_read_and_100_000_characters(metric: BertScore, cases_of: CasesOf) -> None:
    rows = metric.rows(cases_of([("\ud800 clear", "clear"), ("the heart is normal " * 5000, "clear"), ("", "")]))
    assert rows.notna().all(axis=None)
    assert rows["bertscore_f1"].iloc[0] > 0.5


def test_idf_without_weight_is_undefined_and_named(cases_of: CasesOf, minilm: Path) -> None:
    """A word piece in every reference weighs nothing. bert-score says F1 = 0, and NaN for the others."""
    metric = BertScore(model=MODEL, folder=minilm, layer=6, rescale=False, idf=True)
    with pytest.warns(UserWarning, match="undefined for: s0, s1"):
        rows = metric.rows(cases_of([("clear lungs", "lungs")] * 2))
    assert rows.isna().all(axis=None)
    assert np.isnan(metric.reduce(rows)["bertscore_f1"])


def test_weights_say_how_often_a_row_was_drawn(
    metric: BertScore, pairs: list[tuple[str, str]], cases_of: CasesOf
) -> None:
    rows = metric.rows(cases_of(pairs))
    counts = np.random.default_rng(0).integers(0, 3, size=(4, len(rows)))
    drawn = metric.reduce(rows, counts.astype(float))
    for name in metric.higher_is_better:
        assert drawn[name] == pytest.approx([np.repeat(rows[name], row).mean() for row in counts])
    assert np.isnan(metric.reduce(metric.rows([]))["bertscore_f1"])


def test_roberta_sees_the_first_word_as_a_word(roberta: Path, cases_of: CasesOf) -> None:
    """As with transformers 4. transformers 5 alone gives 'heart' at a text's beginning other pieces than elsewhere."""
    tokenizer, _ = upstream.load(roberta, 2, pick_device("cpu"))
    first, again = (
        tokenizer.convert_ids_to_tokens(upstream.utils.sent_encode(tokenizer, t)) for t in ("heart", "the heart")
    )
    assert first == ["<s>", "Ġheart", "</s>"]
    assert again == ["<s>", "Ġthe", "Ġheart", "</s>"]
    assert upstream.utils.sent_encode(tokenizer, "") == [0, 2]


def test_a_tokenizer_that_says_no_length_is_cut_at_the_networks(roberta: Path, cases_of: CasesOf) -> None:
    tokenizer, network = upstream.load(roberta, 2, pick_device("cpu"))
    assert tokenizer.model_max_length == 64
    assert len(network.encoder.layer) == 2
    metric = BertScore(model="tiny", folder=roberta, layer=2, rescale=False)
    rows = metric.rows(cases_of([("heart " * 1000, "heart " * 70), ("lungs", "heart")]))
    assert rows["bertscore_f1"].iloc[0] == pytest.approx(1, abs=1e-5)


def test_the_signature_says_what_a_number_depends_on(minilm: Path) -> None:
    def signature(spec: str) -> str:
        return build(catalogue(), "metric", spec).signature

    spec = f"bertscore:model={MODEL},layer=6,rescale=no,folder={minilm}"
    assert signature(spec).startswith(
        f"bertscore|idf:no|layer:6|model:{MODEL}|rescale:no|weights:53aa51172d14|bert-score:0.3"
    )
    assert signature(f"{spec},batch=2,device=cpu") == signature(spec)
    others = [spec.replace("layer=6", "layer=5"), f"{spec},idf=yes"]
    assert len({signature(spec), *map(signature, others)}) == 3
    assert isinstance(build(catalogue(), "metric", spec).obj, Metric)


def test_weights_in_the_hubs_cache_are_found(
    minilm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cases_of: CasesOf
) -> None:
    snapshot = tmp_path / "models--org--name" / "snapshots" / "0123"
    snapshot.parent.mkdir(parents=True)
    snapshot.symlink_to(minilm)
    (tmp_path / "models--org--name" / "refs").mkdir()
    (tmp_path / "models--org--name" / "refs" / "main").write_text("0123")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    metric = BertScore(model="org/name", layer=6, rescale=False)
    assert metric.rows(cases_of([("clear", "clear")]))["bertscore_f1"].iloc[0] == pytest.approx(1, abs=1e-6)


def test_without_weights_it_says_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"the hub's cache lacks them: .*`hf download nobody/nothing`.*bertscore:folder="
    ):
        BertScore(model="nobody/nothing")
    with pytest.raises(UsageError, match=r"the folder .* has no config.json or no weights"):
        BertScore(folder=tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, f"has no layer of its own for the model '{MODEL}': say bertscore:model={MODEL},layer="),
        ({"layer": 7}, "has the layers 1 to 6, not 7"),
        ({"layer": 6}, "no baseline to rescale by.*rescale=no"),
        ({"layer": 6, "rescale": False, "device": "warp:9"}, "'warp:9' can't be used here.*device=cpu"),
        ({"layer": 6, "rescale": False, "batch": 0}, "at least 1, not 0"),
    ],
)
def test_a_wrong_request_is_told_what_to_do(options: dict[str, object], message: str, minilm: Path) -> None:
    with pytest.raises(UsageError, match=message):
        BertScore(model=MODEL, folder=minilm, **options)


def test_a_path_that_bert_score_takes_for_another_model(minilm: Path, tmp_path: Path) -> None:
    (tmp_path / "t5").symlink_to(minilm)
    with pytest.raises(UsageError, match="'t5' in its path"):
        BertScore(model=MODEL, folder=tmp_path / "t5", layer=6, rescale=False)
