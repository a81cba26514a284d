from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rrgbench_chexbert.weights import Files, find
from torch import Tensor

HIDDEN, LAYERS, HEADS = 16, 2, 4
WORDS = (  # without doubles: a token's number is its place here
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "there", "is", "no", "a", "the", "of", "in", "left", "right"),
    *("small", "large", "pleural", "effusion", "pneumo", "##thorax", "##s", "heart", "lungs", "are", "clear"),
    *("enlarged", "edema", "possible", ".", ",", "?", "e", "b", "c", "d"),
)
TEXTS = [
    "There is no pneumothorax.",
    "The heart is enlarged. Small left pleural effusion, possible edema.",
    "Lungs are clear.",
    "lungs are   clear.\n",
    "",
    " \n\t ",
    "effusion " * 700,
    "Unknown words only",
]


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def texts() -> list[str]:
    return TEXTS


@pytest.fixture(scope="session")
def words() -> tuple[str, ...]:
    """The tiny vocabulary."""
    return WORDS


@pytest.fixture(scope="session")
def random_state() -> Callable[[int], dict[str, Tensor]]:
    return draw_state


def draw_state(seed: int) -> dict[str, Tensor]:
    """A checkpoint's tensors, by the names that the released one has; the weights are large, so that labels differ."""
    draw = torch.Generator().manual_seed(seed)

    def tensor(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw) * 0.5

    def linear(name: str, out: int, into: int) -> dict[str, Tensor]:
        return {f"{name}.weight": tensor(out, into), f"{name}.bias": tensor(out)}

    def norm(name: str) -> dict[str, Tensor]:
        return {f"{name}.weight": 1 + tensor(HIDDEN), f"{name}.bias": tensor(HIDDEN)}

    embeddings = "bert.embeddings"
    state = {
        f"{embeddings}.position_ids": torch.arange(512)[None],
        f"{embeddings}.word_embeddings.weight": tensor(len(WORDS), HIDDEN),
        f"{embeddings}.position_embeddings.weight": tensor(512, HIDDEN),
        f"{embeddings}.token_type_embeddings.weight": tensor(2, HIDDEN),
        **norm(f"{embeddings}.LayerNorm"),
        **linear("bert.pooler.dense", HIDDEN, HIDDEN),
    }
    for at in range(LAYERS):
        layer = f"bert.encoder.layer.{at}"
        for name in ("self.query", "self.key", "self.value", "output.dense"):
            state |= linear(f"{layer}.attention.{name}", HIDDEN, HIDDEN)
        state |= norm(f"{layer}.attention.output.LayerNorm")
        state |= linear(f"{layer}.intermediate.dense", 40, HIDDEN) | linear(f"{layer}.output.dense", HIDDEN, 40)
        state |= norm(f"{layer}.output.LayerNorm")
    for at in range(14):
        state |= linear(f"linear_heads.{at}", 4 if at < 13 else 2, HIDDEN)
    return {f"module.{name}": value for name, value in state.items()}


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny bert-base-uncased."""
    folder = tmp_path_factory.mktemp("bert")
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    config = {
        "model_type": "bert",
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": 40,
        "vocab_size": len(WORDS),
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="session")
def save(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write a checkpoint of the released one's form."""

    def write(state: dict[str, Tensor], **more: object) -> Path:
        file = tmp_path_factory.mktemp("checkpoint") / "chexbert.pth"
        torch.save({"model_state_dict": state, **more}, file)
        return file

    return write


@pytest.fixture(scope="session")
def checkpoint(save: Callable[..., Path]) -> Path:
    return save(draw_state(0))


@pytest.fixture
def files(checkpoint: Path, bert: Path) -> Files:
    return find(checkpoint, bert)
