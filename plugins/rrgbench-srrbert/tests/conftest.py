from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

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
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small vocabulary of the form of BiomedVLP-CXR-BERT-general."""
    folder = tmp_path_factory.mktemp("tokenizer")
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS.split(), ".", *letters, *(f"##{x}" for x in letters)]
    (folder / "vocab.txt").write_text("\n".join(pieces), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Writes a random checkpoint of the form of SRR-BERT with so many labels."""
    pytest.importorskip("rrgbench_srrbert.classifier")
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    def make(labels: int) -> Path:
        folder = tmp_path_factory.mktemp(f"srrbert{labels}")
        torch.manual_seed(2)
        config = BertConfig(
            vocab_size=100,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=37,
            initializer_range=0.4,
            num_labels=labels,
            problem_type="multi_label_classification",
        )
        BertForSequenceClassification(config).save_pretrained(folder)
        return folder

    return make
