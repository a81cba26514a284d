from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rrgbench_ratescore.weights import TYPES

WORDS = "no the is are in left right lung lungs heart effusion edema clear normal enlarged small pleural pneumonia"


@pytest.fixture
def file(tmp_path: Path) -> Callable[[object], Path]:
    """Writes JSON to a new file."""

    def write(content: object) -> Path:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def ner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random checkpoint of the form of RaTE-NER-Deberta."""
    pytest.importorskip("rrgbench_ratescore.models")
    import torch
    from transformers import DebertaV2Config, DebertaV2ForTokenClassification, DebertaV2Tokenizer

    folder = tmp_path_factory.mktemp("ner")
    pieces = [
        *(f"▁{word}" for word in WORDS.split()),
        ".",
        ",",
        *"▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    ]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces]
    tokenizer = DebertaV2Tokenizer(vocab=[(piece, -float(len(piece) < 3)) for piece in vocabulary])
    tokenizer.save_pretrained(folder)
    torch.manual_seed(3)
    labels = ["O", *(f"{at}-{kind}" for kind in TYPES for at in "BI")]
    config = DebertaV2Config(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=37,
        relative_attention=True,
        pos_att_type=["p2c", "c2p"],
        initializer_range=0.8,
        pad_token_id=0,
        id2label=dict(enumerate(labels)),
        label2id={label: at for at, label in enumerate(labels)},
    )
    DebertaV2ForTokenClassification(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random checkpoint of a BERT that gives vectors."""
    pytest.importorskip("rrgbench_ratescore.models")
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path_factory.mktemp("encoder")
    letters = "abcdefghijklmnopqrstuvwxyz.,"
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS.split(), *letters, *(f"##{x}" for x in letters)]
    (folder / "vocab.txt").write_text("\n".join(dict.fromkeys(vocabulary)), encoding="utf-8")
    tokenizer = BertTokenizer.from_pretrained(folder)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(4)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=37,
        initializer_range=0.2,
    )
    BertModel(config).save_pretrained(folder)
    return folder
