from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from rrgbench_timm import checkpoint, foreign, models
from rrgbench_timm.presets import WEIGHTS
from safetensors.torch import save_file

from rrgbench.errors import UsageError

HERE = {"size": 64, "in_chans": 1, "classes": 3}
Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def source() -> Tensors:
    """The weights of another's test_vit, with 7 labels of its own."""
    return dict(models.create("test_vit", {}, **{**HERE, "classes": 7}, seed=5).state_dict())


def started(path: Path) -> tuple[torch.nn.Module, foreign.Report]:
    model = models.create("test_vit", {}, **HERE, seed=0)
    return model, foreign.fit_into(model, foreign.weights(path))


def is_as_new_but_for_the_backbone(model: torch.nn.Module, source: Mapping[str, torch.Tensor]) -> bool:
    fresh = models.create("test_vit", {}, **HERE, seed=0).state_dict()
    wanted = {name: fresh[name] if name.startswith("head.") else source[name] for name in fresh}
    return all(torch.equal(tensor, wanted[name]) for name, tensor in model.state_dict().items())


def prefixed(source: Tensors, prefix: str) -> Tensors:
    return {prefix + name: tensor for name, tensor in source.items()}


SAVED = {
    "bare": lambda s: s,
    "DataParallel": lambda s: {"state_dict": prefixed(s, "module."), "epoch": 3, "best": 0.8},
    "Lightning": lambda s: {"state_dict": {**prefixed(s, "model.backbone."), "loss.weight": torch.ones(3)}, "epoch": 1},
    "compiled": lambda s: {"model_state_dict": prefixed(s, "_orig_mod.")},
    "MAE": lambda s: {"model": {**s, "decoder.weight": torch.ones(2, 2)}, "optimizer": {"state": {}}},
    "DINO": lambda s: {
        "student": prefixed({name: tensor * 2 for name, tensor in s.items()}, "module.backbone."),
        "teacher": {**prefixed(s, "backbone."), "head.last_layer.weight": torch.ones(2, 2)},
    },
    "open_clip": lambda s: {"state_dict": {**prefixed(s, "visual.trunk."), "text.weight": torch.ones(5, 5)}},
}


@pytest.mark.parametrize("kind", SAVED)
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".bin"])
def test_weights_are_found_however_trainings_save_them(tmp_path: Path, source: Tensors, kind: str, suffix: str) -> None:
    path = tmp_path / f"theirs{suffix}"
    torch.save(SAVED[kind](source), path)
    model, report = started(path)
    assert is_as_new_but_for_the_backbone(model, source)
    backbone = [name for name in source if not name.startswith("head.")]
    assert (report.matched, report.of) == (len(backbone), len(backbone))
    assert (report.missing, report.other_shape) == ((), ())
    assert any(name.endswith("head.weight") for name in report.unused)


def test_safetensors_of_half_precision_are_read(tmp_path: Path, source: Tensors) -> None:
    path = tmp_path / "theirs.safetensors"
    save_file({name: tensor.bfloat16() for name, tensor in prefixed(source, "encoder.").items()}, path)
    model, _ = started(path)
    assert is_as_new_but_for_the_backbone(model, {name: tensor.bfloat16().float() for name, tensor in source.items()})


def test_an_own_checkpoint_can_be_started_from() -> None:
    path = WEIGHTS / "cnn.safetensors"
    card, state = checkpoint.load(path)
    model = models.create(card.model, card.model_args, size=card.size, in_chans=1, classes=3, seed=0)
    report = foreign.fit_into(model, foreign.weights(path))
    assert report.matched == report.of
    assert set(report.unused) == {"fc.weight", "fc.bias"}
    assert torch.equal(model.conv1[0].weight, torch.from_numpy(state["conv1.0.weight"]).float())


def test_what_has_another_shape_is_left_and_said(tmp_path: Path, source: Tensors) -> None:
    path = tmp_path / "theirs.pt"
    torch.save({**source, "pos_embed": torch.ones(1, 3, 64)}, path)
    model, report = started(path)
    assert report.other_shape == ("pos_embed",)
    assert report.matched == report.of - 1
    assert f"{report.of - 1} of the backbone's {report.of} tensors were loaded" in str(report)
    assert "1 have another shape there (pos_embed)" in str(report)
    fresh = models.create("test_vit", {}, **HERE, seed=0)
    assert torch.equal(model.pos_embed, fresh.pos_embed)


def test_a_file_of_another_model_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "theirs.pt"
    torch.save(models.create("test_resnet", {}, **HERE, seed=0).state_dict(), path)
    model = models.create("test_vit", {}, **HERE, seed=0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(UsageError, match=r"not VisionTransformer's: 0 of the backbone's .* are not in the file .*half"):
        foreign.fit_into(model, foreign.weights(path))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


# --- refusals ---------------------------------------------------------------------------------------------------------


def refusal(path: Path) -> str:
    with pytest.raises(UsageError) as caught:
        foreign.weights(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("zipped", [True, False])
def test_what_a_pickle_would_do_is_not_done(tmp_path: Path, source: Tensors, zipped: bool) -> None:
    class Harmful:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "harmed",))

    path = tmp_path / "evil.pt"
    torch.save({"state_dict": source, "extra": Harmful()}, path, _use_new_zipfile_serialization=zipped)
    message = refusal(path)
    assert "holds more than weights" in message
    assert "state_dict() alone" in message
    assert not (tmp_path / "harmed").exists()


def test_a_pickle_with_its_trainings_options_is_refused_in_words(tmp_path: Path, source: Tensors) -> None:
    path = tmp_path / "lightning.ckpt"
    torch.save({"state_dict": source, "hyper_parameters": Namespace(lr=1)}, path)
    assert "holds more than weights" in refusal(path)


@pytest.mark.parametrize("name", ["theirs.pt", "theirs.safetensors"])
@pytest.mark.parametrize("keep", [0, 10, -100])
def test_truncated_files_are_refused(tmp_path: Path, source: Tensors, name: str, keep: int) -> None:
    path = tmp_path / name
    if path.suffix == ".pt":
        torch.save(source, path)
    else:
        save_file(source, path)
    path.write_bytes(path.read_bytes()[:keep])
    refusal(path)


def test_files_without_weights_are_refused(tmp_path: Path, source: Tensors) -> None:
    path = tmp_path / "theirs.pt"
    for content in ({"epoch": 3}, [1, 2], {"state_dict": {}}):
        torch.save(content, path)
        assert "holds no weights by name" in refusal(path)
    torch.save({**source, "norm.weight": source["norm.weight"] / 0}, path)
    assert "NaN or infinite weights, first in 'norm.weight'" in refusal(path)
    assert "is not there" in refusal(tmp_path / "gone.pt")
    other = tmp_path / "weights.h5"
    other.touch()
    assert "Known are: .safetensors, .pt" in refusal(other)
