"""What the network computes: BERT and 14 heads, as the authors' code has them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rrgbench_chexbert.network import Reader, collapsed
from rrgbench_chexbert.weights import Files
from torch import Tensor

from rrgbench import torchvision_ops

CPU = torch.device("cpu")
WORDS = st.sampled_from(
    ["No", "pleural", "effusions", "pneumothorax.", "[SEP]", "\n\n", "\x1c", "Édema", "effusion " * 600]
)


def test_vectors_and_classes_are_those_of_transformers_bert(
    files: Files, random_state: Callable[[int], dict[str, Tensor]], texts: list[str]
) -> None:
    torchvision_ops.declare_missing()  # else transformers may not import
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig.from_json_file(files.config)
    state = {name.removeprefix("module."): value for name, value in random_state(0).items()}
    model = transformers.BertModel(config).eval()
    lacking = model.load_state_dict(
        {name.removeprefix("bert."): value for name, value in state.items() if name.startswith("bert.")}, strict=False
    )
    assert lacking.missing_keys == []
    reader = Reader(files, CPU)
    for text, reading in zip(texts, reader.read(texts, batch=3), strict=True):
        with torch.inference_mode():
            vector = model(torch.tensor(reader.tokens([collapsed(text)]))).last_hidden_state[0, 0]
        np.testing.assert_allclose(reading.vector, vector.numpy(), atol=1e-5)
        scores = [state[f"linear_heads.{at}.weight"] @ vector + state[f"linear_heads.{at}.bias"] for at in range(14)]
        assert reading.classes.tolist() == [int(score.argmax()) for score in scores]


@settings(max_examples=60)
@given(st.lists(st.one_of(st.text(max_size=60), st.lists(WORDS).map(" ".join)), min_size=1, max_size=4))
def test_tokens_are_those_of_the_authors_tokenizer(files_: Files, texts: list[str]) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.BertTokenizer.from_pretrained(files_.vocabulary.parent)
    expected = []
    for text in texts:
        text = text.encode("utf-8", "replace").decode()
        ids = tokenizer(re.sub(r"\s+", " ", text.strip().replace("\n", " ")).strip())["input_ids"]
        expected.append(ids if len(ids) <= 512 else [*ids[:511], tokenizer.sep_token_id])  # bert_tokenizer.py
    assert Reader(files_, CPU).tokens([collapsed(text) for text in texts]) == expected


@pytest.fixture(scope="module")
def files_(checkpoint: Path, bert: Path) -> Files:
    return Files(checkpoint, bert / "config.json", bert / "vocab.txt")


def test_a_long_text_is_cut_at_its_end(files: Files, words: tuple[str, ...]) -> None:
    tokens = Reader(files, CPU).tokens(["heart " + "effusion " * 700])[0]
    assert len(tokens) == 512
    assert tokens[:2] == [words.index("[CLS]"), words.index("heart")] and tokens[-1] == words.index("[SEP]")


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_a_text_s_reading_does_not_depend_on_the_texts_beside_it(files: Files, texts: list[str], batch: int) -> None:
    alone = [Reader(files, CPU).read([text], batch=1)[0] for text in texts]
    order = np.random.default_rng(batch).permutation(len(texts))
    for at, reading in zip(order, Reader(files, CPU).read([texts[i] for i in order], batch), strict=True):
        assert reading.classes.tolist() == alone[at].classes.tolist()
        np.testing.assert_allclose(reading.vector, alone[at].vector, atol=1e-5)


def test_texts_lead_to_different_labels(files: Files, texts: list[str]) -> None:
    assert len({tuple(reading.classes) for reading in Reader(files, CPU).read(texts, 4)}) > 3  # else little is tested


def test_a_text_is_read_once(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(files, CPU)
    forward, given = reader._forward, []
    monkeypatch.setattr(reader, "_forward", lambda ids: given.extend(ids) or forward(ids))
    reader.read(["the heart", "no edema", " the  heart\n"], 8)
    reader.read(["no edema", "clear"], 8)
    assert len(given) == 3


def test_what_is_kept_is_bounded(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rrgbench_chexbert.network.KEPT", 3)
    reader = Reader(files, CPU)
    for text in "a b c d e":
        assert reader.read([text], 8)[0].vector.tolist() == Reader(files, CPU).read([text], 8)[0].vector.tolist()
    assert len(reader._known) <= 3


@settings(max_examples=40)
@given(st.lists(st.text(st.characters(codec=None), max_size=200), max_size=5))
def test_any_text_gets_a_reading(files_: Files, texts: list[str]) -> None:
    for reading in Reader(files_, CPU).read(texts, 2):
        assert reading.classes.shape == (14,) and np.isfinite(reading.vector).all()


@pytest.mark.parametrize(
    "text", ["a" * 100_000, "a " * 50_000, "effusion\r\u2028" * 9_000, "\ud800 heart \x00 ||| \t", "[SEP] [MASK] [PAD]"]
)
def test_odd_texts_do_too(files: Files, text: str) -> None:
    assert np.isfinite(Reader(files, CPU).read([text, "clear"], 2)[0].vector).all()
