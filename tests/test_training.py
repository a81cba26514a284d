"""`rrgbench train`, from a config to a checkpoint that `run` takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rrgbench.config import TrainConfig, load
from tests.conftest import REPOSITORY, Done

CONFIG = """
encoder: {vit: {model: test_vit, size: 64, checkpoint: none}}
dataset: {phantom: {n: 80, size: 64}}
recipe: {epochs: 2, batch: 16, lr: 1.0e-3}
"""


def test_a_trained_checkpoint_runs_and_says_where_it_came_from(rrgbench: Callable[..., Done], tmp_path: Path) -> None:
    (tmp_path / "train.yaml").write_text(CONFIG)
    done = rrgbench("train", "--config", "train.yaml")
    assert done.code == 0, done.err
    assert "epoch 2" in done.err
    (record,) = (json.loads(file.read_text()) for file in (tmp_path / "models").rglob("training.json"))
    assert record["dataset"] == "phantom:n=80,size=64" and record["synthetic"] is True
    assert record["recipe"]["epochs"] == 2 and "auroc_macro" in record["scores"]
    checkpoint = next((tmp_path / "models").rglob("*.safetensors"))
    run = rrgbench("run", "--encoder", f"vit:checkpoint={checkpoint}", "--limit", "5", "--metric", "classification")
    assert run.code == 0, run.err


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("epochs: 2|epoks: 2", "no option 'epoks'. Did you mean 'epochs'?"),
        ("epochs: 2|epochs: many", "'epochs'"),
        ("recipe|recipee", "unknown key 'recipee'. Did you mean 'recipe'?"),
        ("phantom: {n: 80, size: 64}|phantom: {n: 1}", "train"),
    ],
)
def test_a_wrong_training_is_refused_in_words(
    rrgbench: Callable[..., Done], tmp_path: Path, change: str, says: str
) -> None:
    (tmp_path / "train.yaml").write_text(CONFIG.replace(*change.split("|")))
    done = rrgbench("train", "--config", "train.yaml")
    assert done.code == 2 and says in done.err and "Traceback" not in done.err


def test_an_encoder_without_weights_refuses_to_run(rrgbench: Callable[..., Done]) -> None:
    done = rrgbench("run", "--encoder", "vit:checkpoint=none", "--limit", "3")
    assert done.code == 2 and "rrgbench train" in done.err


@pytest.mark.parametrize("file", sorted((REPOSITORY / "configs").glob("train-*.yaml")), ids=lambda file: file.stem)
def test_the_configs_of_the_shipped_weights_are_valid(file: Path) -> None:
    assert load(TrainConfig, file).recipe["epochs"] > 0
