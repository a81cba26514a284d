"""Tiny models of the true form, with random weights: what they say is gibberish, and depends on the prompt."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rrgbench import torchvision_ops

torchvision_ops.declare_missing()
import torch  # noqa: E402
import transformers  # noqa: E402
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers  # noqa: E402

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ["<pad>", "<s>", "<|im_start|>", "<|im_end|>"]
CONTEXT = 2048
Change = Callable[..., Path]


def write_tokenizer(folder: Path) -> int:
    """Write a byte-level tokenizer with a chat template; its number of tokens."""
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    words.train_from_iterator(["The heart is enlarged. No pleural effusion or pneumothorax."], trainer)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="<s>", eos_token="<|im_end|>", pad_token="<pad>"
    )
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    return len(tokenizer)


def write_model(folder: Path, kind: str, seed: int = 0) -> Path:
    """Write a model with random weights. One token in eight ends a reply, so that replies end."""
    size = write_tokenizer(folder)
    common = {"vocab_size": size, "bos_token_id": 1, "eos_token_id": 3, "pad_token_id": 0, "initializer_range": 0.15}
    torch.manual_seed(seed)
    made: Any
    if kind == "gpt2":
        made = transformers.GPT2LMHeadModel(
            transformers.GPT2Config(n_embd=64, n_layer=2, n_head=4, n_positions=CONTEXT, **common)
        )
    else:
        config, network = {
            "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM),
            "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM),
        }[kind]
        layers = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
        sizes = {"hidden_size": 64, "intermediate_size": 128, "max_position_embeddings": CONTEXT}
        made = network(config(**sizes, **layers, **common))
    made.save_pretrained(folder)
    # What a model of the hub brings: end tokens, and sampling settings that are not to be used.
    settings = {"eos_token_id": list(range(3, size, 8)), "pad_token_id": 0, "repetition_penalty": 1.9, "top_k": 1}
    (folder / "generation_config.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of a model of each kind."""
    kinds = ("llama", "qwen2", "gpt2")
    return {kind: write_model(tmp_path_factory.mktemp("models") / kind, kind) for kind in kinds}


@pytest.fixture(scope="session")
def tiny(folders: dict[str, Path]) -> Path:
    return folders["llama"]


@pytest.fixture
def changed(tiny: Path, tmp_path: Path) -> Change:
    """A copy of the model with other files: JSON for a mapping, text for a string, and None removes one."""

    def make(name: str = "other", **files: Any) -> Path:
        folder = tmp_path / name
        shutil.copytree(tiny, folder)
        for key, content in files.items():
            stem, _, ending = key.rpartition("_")
            file = folder / f"{stem}.{ending}"
            if content is None:
                file.unlink()
            elif isinstance(content, str):
                file.write_text(content)
            else:
                old = json.loads(file.read_text()) if file.is_file() else {}
                file.write_text(json.dumps(old | content))
        return folder

    return make
