from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from rrgbench_timm import checkpoint as checkpoints
from rrgbench_timm.encoder import TimmEncoder
from rrgbench_timm.presets import WEIGHTS
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from rrgbench.errors import UsageError


def rewritten(source: Path, target: Path, change_card=None, change_state=None) -> Path:
    """A copy of a checkpoint with its header or its tensors changed."""
    with safe_open(source, framework="np") as opened:
        card = json.loads(opened.metadata()["rrgbench"])
    state = load_file(source)
    if change_card:
        change_card(card)
    if change_state:
        change_state(state)
    save_file(state, target, {"rrgbench": json.dumps(card)})
    return target


CNN = WEIGHTS / "cnn.safetensors"


def refusal(path: Path) -> str:
    with pytest.raises(UsageError) as caught:
        checkpoints.load(path)
    return str(caught.value)


@pytest.mark.parametrize("name", ["a.pt", "weights.safetensors"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_is_never_opened(tmp_path: Path, name: str, zipped: bool) -> None:
    class Harmful:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "harmed",))

    path = tmp_path / name
    torch.save({"state": Harmful()}, path, _use_new_zipfile_serialization=zipped)
    message = refusal(path)
    assert str(path) in message
    assert "pickle" in message
    assert "rrgbench train" in message
    assert "start=FILE" in message
    assert not (tmp_path / "harmed").exists()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "nowhere.safetensors is not there" in refusal(tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "cut.safetensors"
    path.write_bytes(CNN.read_bytes()[:keep])
    assert "cut.safetensors is no whole safetensors file" in refusal(path)


def test_a_foreign_safetensors_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"w": np.zeros(3, np.float32)}, path)
    message = refusal(path)
    assert "foreign.safetensors" in message
    assert "labels and thresholds" in message


def set_to(key: str, value: object):
    return lambda card: card.update({key: value})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda card: card.pop("thresholds"), "thresholds: Field required"),
        (lambda card: card["labels"].pop(), "different labels"),
        (lambda card: card["labels"].append("Edema"), "a label stands twice"),
        (lambda card: card["thresholds"].update(Edema=1.5), "less than or equal to 1"),
        (set_to("std", [0.0]), "greater than 0"),
        (set_to("mean", [0.1, 0.2, 0.3]), "1 numbers each"),
        (set_to("size", "64"), "size"),
        (set_to("format", 2), "format"),
        (set_to("extra", 1), "extra"),
        (set_to("normalise", "mira"), "normalise"),
        (set_to("calibration", {"Edema": [1.0]}), "calibration: Edema: List should have at least 2 items"),
        (set_to("calibration", {"Oedema": [1.0, 0.0]}), "calibration names labels that are not there: Oedema"),
        (lambda card: card["training"].update(epoch="last"), "training: epoch"),
        (lambda card: card["training"]["studies"].update(train=-1), "training: studies: train"),
        (lambda card: card["training"]["validate"].update(auroc_macro="high"), "training: validate: auroc_macro"),
        (lambda card: card["training"].pop("recipe"), "training: recipe: Field required"),
        (set_to("model", "hf:microsoft/rad-dino"), "must hold its config"),
        (lambda card: card.update(model="hf:dinov2", model_args={"config": ["dinov2"]}), "must hold its config"),
        (set_to("terms", "whatever"), "terms: Input should be"),
    ],
)
def test_a_wrong_header_is_refused(tmp_path: Path, change, says: str) -> None:
    message = refusal(rewritten(CNN, tmp_path / "odd.safetensors", change))
    assert "odd.safetensors" in message
    assert says in message


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    def spoil(state):
        name = next(name for name, array in state.items() if array.dtype == np.float16)
        state[name].flat[0] = np.nan

    message = refusal(rewritten(CNN, tmp_path / "nan.safetensors", None, spoil))
    assert "nan.safetensors holds NaN" in message


def test_weights_of_another_label_count_or_model_are_refused(
    trained: SimpleNamespace, made: SimpleNamespace, tmp_path: Path
) -> None:
    def fewer(card):
        del card["thresholds"][card["labels"].pop()]

    seen = made.contexts(made.studies(1, 1))
    for change, says in ((fewer, "13 labels"), (set_to("model", "test_vit"), "do not fit test_vit")):
        path = rewritten(trained.path, tmp_path / "odd.safetensors", change)
        with pytest.raises(UsageError, match=says) as caught:
            TimmEncoder(checkpoint=path).encode(seen)
        assert str(path) in str(caught.value)


def test_a_checkpoint_can_not_name_files_or_hubs(
    trained: SimpleNamespace, made: SimpleNamespace, tmp_path: Path
) -> None:
    seen = made.contexts(made.studies(1, 1))
    for change, says in (
        (set_to("model", "hf-hub:someone/something"), "no model"),
        (set_to("model_args", {"checkpoint_path": "evil.pt"}), "can't hold checkpoint_path"),
    ):
        path = rewritten(trained.path, tmp_path / "evil.safetensors", change)
        with pytest.raises(UsageError, match=says):
            TimmEncoder(checkpoint=path).encode(seen)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"model": "resnet18"}, "model=resnet18, but it holds test_resnet"),
        ({"model_args": {"drop_rate": 0.5}}, "model_args"),
        ({"labels": ["Edema"]}, "other labels"),
        ({"pretrained": True}, "hub weights"),
        ({"normalise": "maira"}, "normalise=maira, but it was trained with no preset"),
    ],
)
def test_options_that_a_checkpoint_contradicts_are_refused(trained: SimpleNamespace, options: dict, says: str) -> None:
    with pytest.raises(UsageError, match="checkpoint=none") as caught:
        TimmEncoder(checkpoint=trained.path, **options)
    assert says in str(caught.value)


@pytest.mark.parametrize("name", ["vit", "cnn"])
def test_a_file_of_before_calibration_is_written_again_byte_for_byte(tmp_path: Path, name: str) -> None:
    source = WEIGHTS / f"{name}.safetensors"
    card, state = checkpoints.load(source)
    assert card.calibration is None
    checkpoints.write(tmp_path / "again.safetensors", card, state)
    assert (tmp_path / "again.safetensors").read_bytes() == source.read_bytes()


def test_calibration_and_what_a_later_training_says_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "calibrated.safetensors"
    calibration = {"Edema": [1.5, -0.25], "Fracture": [0.8, 0.1]}
    rewritten(
        CNN,
        path,
        lambda card: card.update(calibration=calibration, training={**card["training"], "later": {"more": 1}}),
    )
    card, state = checkpoints.load(path)
    assert card.calibration == calibration
    assert card.training["later"] == {"more": 1}
    checkpoints.write(tmp_path / "again.safetensors", card, state)
    assert checkpoints.load(tmp_path / "again.safetensors")[0] == card


def test_a_backbone_of_transformers_is_a_checkpoint_too(tmp_path: Path) -> None:
    config = {"model_type": "vit", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    change = {"model": "hf:someone/tiny", "model_args": {"config": config}}
    path = rewritten(CNN, tmp_path / "hf.safetensors", lambda card: card.update(change))
    assert checkpoints.load(path)[0].model_args == {"config": config}


def test_another_path_to_the_same_bytes_has_the_same_signature(trained: SimpleNamespace, tmp_path: Path) -> None:
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(trained.path.read_bytes())
    assert TimmEncoder(checkpoint=copy).signature == TimmEncoder(checkpoint=trained.path).signature
    changed = rewritten(trained.path, tmp_path / "changed.safetensors", set_to("licence", "MIT"))
    assert TimmEncoder(checkpoint=changed).signature != TimmEncoder(checkpoint=trained.path).signature
