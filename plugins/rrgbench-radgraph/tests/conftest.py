"""A RadGraph checkpoint of the released form with a tiny BERT and random weights: it loads, batches and parses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

WORDS = ("no", "small", "left", "pleural", "effusion", "heart", "is", "enlarged", "the", "lungs", "clear", ".", ",")
RELATIONS = ("modify", "located_at", "suggestive_of")
LABELS = {
    "radgraph": ("ANAT-DP", "OBS-DP", "OBS-U", "OBS-DA"),
    "radgraph-xl": ("Observation::definitely present", "Observation::definitely absent", "Anatomy::definitely present"),
}


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models, as ``model_cache_dir`` takes it."""
    pytest.importorskip("radgraph", reason="needs radgraph (pip install 'rrgbench-radgraph[model]')")
    folder = tmp_path_factory.mktemp("models")
    bert = _bert(folder / "bert")
    for model_type, labels in LABELS.items():
        _checkpoint(folder / model_type, model_type, labels, bert)
    return folder


def _bert(folder: Path) -> Path:
    from rrgbench_radgraph import tokenizer_methods

    from rrgbench import torchvision_ops

    torchvision_ops.declare_missing()
    tokenizer_methods.put_back()
    from transformers import BertConfig, BertTokenizerFast

    folder.mkdir()
    letters = [f"{sign}{chr(code)}" for code in range(97, 123) for sign in ("", "##")]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys([*WORDS, *letters])]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertConfig(vocab_size=len(vocabulary), max_position_embeddings=32, **size).save_pretrained(folder)
    return folder


def _checkpoint(folder: Path, model_type: str, labels: tuple[str, ...], bert: Path) -> None:
    import torch
    from dotmap import DotMap
    from radgraph.allennlp.data import Vocabulary
    from radgraph.allennlp.modules import text_field_embedders, token_embedders
    from radgraph.dygie.models import dygie

    (folder / "vocabulary").mkdir(parents=True)
    (folder / "vocabulary" / "non_padded_namespaces.txt").write_text("*labels\n*tags\n")
    for kind, names in (("ner", labels), ("relation", RELATIONS)):
        (folder / "vocabulary" / f"{model_type}__{kind}_labels.txt").write_text("\n".join(["", *names]) + "\n")
    where = {"model_name": str(bert), "max_length": 16}
    model = {
        "feature_size": 4,
        "max_span_width": 3,
        "target_task": "relation",
        "feedforward_params": {"num_layers": 1, "hidden_dims": 8, "dropout": 0.4},
        "loss_weights": {"ner": 0.2, "relation": 1.0, "coref": 0.0, "events": 0.0},
        "modules": {
            "coref": {"spans_per_word": 0.3, "max_antecedents": 100},
            "ner": {},
            "relation": {"spans_per_word": 0.5},
            "events": {"trigger_spans_per_word": 0.3, "argument_spans_per_word": 0.8},
        },
    }
    unused = {"type": "dygie", "initializer": {}, "module_initializer": {}}
    config = {
        "dataset_reader": {"max_span_width": 3, "token_indexers": {"bert": where}},
        "model": {**unused, "embedder": {"token_embedders": {"bert": where}}, **model},
    }
    (folder / "config.json").write_text(json.dumps(config))
    torch.manual_seed(7)
    embedder = text_field_embedders.BasicTextFieldEmbedder(
        {"bert": token_embedders.PretrainedTransformerMismatchedEmbedder(**where)}
    )
    vocabulary = Vocabulary.from_files(str(folder / "vocabulary"), None, None)
    weights = dygie.DyGIE(vocabulary, embedder, **DotMap(model)).state_dict()
    torch.save(weights, folder / "weights.th")
