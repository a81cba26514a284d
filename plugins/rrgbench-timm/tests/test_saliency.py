"""Where a network looks, where the true place is known: drawn squares, hand-set weights, closed forms."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from rrgbench_timm import cams, models, saliency
from rrgbench_timm.checkpoint import Card
from rrgbench_timm.encoder import TimmEncoder
from torch import nn

from rrgbench.errors import UsageError
from rrgbench.types import Context, Failure

SQUARES = {"Cardiomegaly": (16, 8), "Edema": (16, 40), "Pleural Effusion": (44, 24)}  # as the fixture `made` draws them
GRADIENTS = ("grad-cam", "hirescam")
METHODS = (*GRADIENTS, "rollout")
LEVIT = {"embed_dim": [32, 48, 64], "num_heads": [2, 2, 2], "depth": [1, 1, 1], "key_dim": 8}
SWIN = {"embed_dim": 16, "num_heads": [1, 1, 2, 2], "depths": [1, 1, 1, 1], "window_size": 4}
HERE: dict[str, Any] = {"size": 64, "in_chans": 1, "classes": 3, "seed": 0}


def peak(found: npt.NDArray[np.float32]) -> tuple[float, float]:
    """The middle of all maxima, y and x as fractions."""
    y, x = np.nonzero(found >= found.max() - 1e-6 * np.ptp(found))
    return float((y.mean() + 0.5) / found.shape[0]), float((x.mean() + 0.5) / found.shape[1])


def pictures(n: int = 3, size: int = 64) -> torch.Tensor:
    return torch.randn(n, 1, size, size, generator=torch.Generator().manual_seed(1))


class Bright(nn.Module):
    """Bright cells of 8 x 8 pixels, averaged, so that it is known where it looks; its second output ignores them."""

    feature_info = ({"module": "cells"},)

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.Sequential(nn.AvgPool2d(8), nn.Threshold(0.5, 0.0))
        self.head = nn.Linear(1, 2, bias=False)
        self.head.weight.data = torch.tensor([[1.0], [0.0]])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.cells(x).mean(dim=(2, 3)))
        return out


class Placed(nn.Module):
    """The cells' own levels, each times a weight of its place, summed."""

    feature_info = ({"module": "cells"},)

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.cells = nn.AvgPool2d(8)
        self.after = nn.ReLU(inplace=True)  # as many networks have it behind the feature map
        self.weight = weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.after(self.cells(x)) * self.weight).sum(dim=(2, 3))


def card(**changed: Any) -> Card:
    training = {
        "provenance": {},
        "started_from": "random weights",
        "recipe": {},
        "seed": 0,
        "epoch": 1,
        "studies": {},
        "skipped": {},
        "versions": {},
        "validate": {},
    }
    given = {
        "format": 1,
        "model": "test_resnet",
        "model_args": {},
        "size": 64,
        "in_chans": 1,
        "mean": [0.0],
        "std": [1.0],
        "labels": ["Mass", "Nodule"],
        "thresholds": {"Mass": 0.5, "Nodule": None},
        "training": training,
        "terms": "open",
        "licence": None,
    }
    return Card.model_validate({**given, **changed})


# --- the true place ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", GRADIENTS)
def test_the_only_square_is_where_a_trained_network_looks(
    trained: SimpleNamespace, made: SimpleNamespace, method: str
) -> None:
    shown = [tuple(at == place for at in range(3)) for place in range(3) for _ in range(6)]
    contexts = [
        Context(str(at), images=(made.image(lambda at=at, s=s: made.picture(at, s)),)) for at, s in enumerate(shown)
    ]
    found = trained.encoder.saliency(contexts, list(SQUARES), method)
    hits = []
    for maps, there in zip(found, shown, strict=True):
        label = list(SQUARES)[there.index(True)]
        (y, x), (top, left) = (64 * c for c in peak(maps[label])), SQUARES[label]
        hits.append(top - 4 <= y <= top + 16 and left - 4 <= x <= left + 16)  # half a cell around it
    assert np.mean(hits) > 0.7  # a random point: 0.1


@pytest.mark.parametrize("shape", [(64, 64), (128, 64), (64, 128), (300, 100), (50, 75)])
def test_a_map_covers_the_image_itself_whatever_its_aspect(made: SimpleNamespace, shape: tuple[int, int]) -> None:
    height, width = shape
    for down, across in ((0.3, 0.7), (0.9, 0.1)):
        pixels = np.full(shape, 0.1, np.float32)
        reach = max(shape) / 8  # two cells wide, so that one is bright as a whole
        y, x = down * height, across * width
        rows, columns = (slice(max(0, round(c - reach)), round(c + reach)) for c in (y, x))
        pixels[rows, columns] = 1.0
        seen = Context("s", images=(made.image(lambda pixels=pixels: pixels),))
        (maps,) = saliency.of_contexts(Bright(), [seen], ["Mass"], "grad-cam", card=card(), size=64)
        assert isinstance(maps, dict)
        found = maps["Mass"]
        assert found.dtype == np.float32 and found.min() >= 0
        assert found.shape == (round(64 * height / max(shape)), round(64 * width / max(shape)))
        top = peak(found)
        assert abs(top[0] * height - y) < reach and abs(top[1] * width - x) < reach


def test_the_padding_is_cut_off() -> None:
    square = torch.zeros(1, 8, 8)
    square[0, :2] = 1  # a wide image has black there
    assert saliency.over_image(square, (50, 100), 64).shape == (1, 32, 64)
    assert saliency.over_image(square, (50, 100), 64)[0, 4:].max() == 0
    square = torch.arange(8.0).view(1, 1, 8).expand(1, 8, 8)  # rises to the right
    tall = saliency.over_image(square, (100, 50), 64)
    assert tall.shape == (1, 64, 32)
    assert tall[0, 5, 0] == pytest.approx(1.5 + 1 / 16) and tall[0, 5, -1] == pytest.approx(5.5 - 1 / 16)


def test_grad_cam_is_the_class_activation_map_where_a_linear_layer_follows_an_average() -> None:
    model = models.create("test_resnet", {}, **{**HERE, "size": 224})
    x = pictures(2, 224)
    with torch.no_grad():
        features = model.forward_features(x)
    weight = model.get_classifier().weight.detach()
    expected = torch.einsum("lc,bchw->blhw", weight, features).relu() / 49
    for method in GRADIENTS:
        assert torch.allclose(saliency.maps(model, x, [0, 1, 2], method), expected, atol=1e-6), method


def test_grad_cam_weighs_a_channel_as_a_whole_and_hirescam_each_cell_of_it() -> None:
    weight = torch.tensor([[3.0, -1.0], [0.5, 0.0]])
    level = torch.tensor([[0.25, 1.0], [0.5, 0.75]])
    x = level.repeat_interleave(8, 0).repeat_interleave(8, 1)[None, None]
    model = Placed(weight)
    assert torch.allclose(saliency.maps(model, x, [0], "grad-cam")[0, 0], weight.mean() * level)
    assert torch.allclose(saliency.maps(model, x, [0], "hirescam")[0, 0], (weight * level).relu())
    assert saliency.maps(Placed(-weight), x, [0], "grad-cam").max() == 0  # what speaks against a label is not shown


def test_a_column_that_nothing_hangs_on_has_an_empty_map() -> None:
    found = saliency.maps(Bright(), torch.ones(1, 1, 64, 64), [1, 0])
    assert found.shape == (1, 2, 8, 8) and found[0, 0].max() == 0 and found[0, 1].min() > 0


# --- the layer --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "args", "size", "layer", "cells"),
    [
        ("test_resnet", {}, 224, "layer4", 7),
        ("test_resnet", {}, 64, "layer2", 8),
        ("test_resnet", {}, 32, "layer1", 8),
        ("hrnet_w18_small", {}, 224, "final_layer.0", 7),  # its stages give several maps each
        ("levit_128s", LEVIT, 128, "stages.0", 8),
        ("swin_tiny_patch4_window7_224", SWIN, 64, "layers.1", 8),
        ("swin_tiny_patch4_window7_224", {**SWIN, "window_size": 7}, 224, "norm", 7),
        ("test_vit", {}, 128, "blocks.5.norm1", 8),  # reads the class token: what enters the last block
        ("test_vit2", {}, 128, "blocks.7", 8),  # reads the mean of the patches
        ("test_vit3", {}, 128, "norm", 8),  # attends to the patches
        ("test_vit", {"patch_size": 8, "embed_dim": 130, "num_heads": 2, "qk_norm": True}, 64, "blocks.5.norm1", 8),
        ("test_vit", {}, 64, "blocks.5.norm1", 4),  # the most cells that there are
    ],
)
def test_the_deepest_feature_map_that_still_has_a_grid_is_looked_at(
    name: str, args: dict[str, Any], size: int, layer: str, cells: int
) -> None:
    model = models.create(name, args, **{**HERE, "size": size})
    x = pictures(2, size)
    assert cams.looked_at(model, x) is model.get_submodule(layer)
    found = saliency.maps(model, x, [2, 0])
    assert found.shape == (2, 2, cells, cells) and found.min() >= 0 and found.isfinite().all()


def test_channels_weighted_by_their_gradients_don_t_cancel_out() -> None:
    """In front of a norm they would: its output doesn't change with the length of what goes in."""
    model = models.create("test_vit", {}, **{**HERE, "size": 128})
    found = saliency.maps(model, pictures(2, 128), [0], "hirescam")
    assert found.max() > 1e-5


def test_a_network_whose_outputs_hang_on_nothing_is_refused() -> None:
    model = models.create("test_resnet", {}, **HERE)
    nn.init.zeros_(model.get_classifier().weight)
    with pytest.raises(UsageError, match="no feature map"):
        saliency.maps(model, pictures(), [0])


# --- rollout ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "depth", "tokens"), [("test_vit", 6, 65), ("test_vit2", 8, 65), ("test_vit3", 9, 65)])
def test_rollout_of_even_attention_is_its_closed_form(name: str, depth: int, tokens: int) -> None:
    model = models.create(name, {"patch_size": 8}, **HERE)
    for block in model.blocks:
        nn.init.zeros_(block.attn.qkv.weight)
        nn.init.zeros_(block.attn.qkv.bias)
    found = saliency.maps(model, pictures(2), [0, 1], "rollout")
    assert found.shape == (2, 2, 8, 8) and torch.equal(found[:, 0], found[:, 1])  # the same for every label
    # ((J/N + I) / 2)^depth = 2^-depth I + (1 - 2^-depth) J/N; the head reads the class token, or all or all patches.
    even = (1 - 0.5**depth) / tokens
    itself = {"test_vit": 0.0, "test_vit2": 0.5**depth / 64, "test_vit3": 0.5**depth / 65}[name]
    assert torch.allclose(found, torch.full_like(found, even + itself), atol=1e-6)


def test_rollout_finds_the_token_that_all_attend_to() -> None:
    model = models.create("test_vit", {"patch_size": 8}, **HERE)
    for block in model.blocks:
        nn.init.zeros_(block.attn.proj.weight)  # the tokens stay as they are
        nn.init.zeros_(block.mlp.fc2.weight)
        nn.init.zeros_(block.attn.qkv.weight)
        block.attn.qkv.weight.data[64:128, 0] = 4.0  # keys rise with the first channel, queries are all alike
        nn.init.ones_(block.attn.qkv.bias)
    model.pos_embed.data[0, 1 + 8 * 5 + 2, 0] = 100.0
    found = saliency.maps(model, pictures(2), [0], "rollout")
    assert found.flatten(1).argmax(dim=1).tolist() == [8 * 5 + 2] * 2
    assert found[0, 0, 5, 2] == pytest.approx(1 - 0.5 ** len(model.blocks), abs=1e-3)


@pytest.mark.parametrize(
    ("name", "args"), [("test_resnet", {}), ("levit_128s", LEVIT), ("swin_tiny_patch4_window7_224", SWIN)]
)
def test_rollout_of_anything_but_a_plain_vit_is_refused(name: str, args: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="not defined for .* Choose grad-cam"):
        saliency.maps(models.create(name, args, **HERE), pictures(), [0], "rollout")


@pytest.mark.parametrize("kind", ["dinov2", "dinov2_with_registers", "vit", "siglip_vision_model", "clip_vision_model"])
def test_backbones_of_transformers(kind: str) -> None:
    pytest.importorskip("transformers")
    facts = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 64, "patch_size": 8}
    extra = {"dinov2": {"mlp_ratio": 2}, "dinov2_with_registers": {"mlp_ratio": 2, "num_register_tokens": 4}}
    config = {"model_type": kind, **facts, **extra.get(kind, {})}
    model = models.create("hf:a/b", {"config": config}, **HERE)
    before = model.backbone.config._attn_implementation
    for name, parameter in model.named_parameters():
        if any(word in name for word in ("query", "key", "q_proj", "k_proj")) and "embeddings" not in name:
            nn.init.zeros_(parameter)
    for method in GRADIENTS:
        found = saliency.maps(model, pictures(2), [0, 2], method)
        assert found.shape == (2, 2, 8, 8) and found.max() > 1e-6
    tokens = 64 + model.num_prefix_tokens
    found = saliency.maps(model, pictures(2), [0], "rollout")
    itself = 0.0 if model.num_prefix_tokens else 0.5**3 / 64
    assert torch.allclose(found, torch.full_like(found, (1 - 0.5**3) / tokens + itself), atol=1e-6)
    assert model.backbone.config._attn_implementation == before


# --- what is left behind ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "args"), [("test_resnet", {}), ("levit_128s", LEVIT), ("test_vit", {"patch_size": 8}), ("test_vit2", {})]
)
def test_nothing_is_left_behind_and_each_picture_is_on_its_own(name: str, args: dict[str, Any]) -> None:
    model = models.create(name, args, **HERE)
    x = pictures(5)
    with torch.inference_mode():
        before = model(x)  # LeViT keeps tensors of it that have no gradient
    for method in METHODS if name.startswith("test_vit") else GRADIENTS:
        together = saliency.maps(model, x, [0, 1], method)
        assert not together.requires_grad
        apart = torch.cat([saliency.maps(model, x[at : at + 1], [0, 1], method) for at in range(5)])
        assert torch.allclose(together, apart, rtol=1e-4, atol=1e-7 + 1e-4 * float(together.max()))
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert not any(module._forward_hooks or module.training for module in model.modules())
    assert all(getattr(module, "fused_attn", True) for module in model.modules())
    with torch.inference_mode():
        assert torch.equal(model(x), before)


def test_a_model_in_training_mode_is_looked_at_as_in_use_and_given_back_as_it_was() -> None:
    model = models.create("test_resnet", {}, **HERE)
    expected = saliency.maps(model, pictures(), [0])
    model.train()
    assert torch.equal(saliency.maps(model, pictures(), [0]), expected)
    assert model.training


def test_less_memory_gives_the_same_maps(monkeypatch: pytest.MonkeyPatch, made: SimpleNamespace) -> None:
    contexts = made.contexts(made.studies(7, 3))
    given: dict[str, Any] = {"card": card(), "size": 64}
    expected = saliency.of_contexts(Bright(), contexts, ["Mass"], "grad-cam", **given)
    whole = saliency.maps

    def scarce(model: nn.Module, x: torch.Tensor, columns: list[int], method: str) -> torch.Tensor:
        if len(x) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return whole(model, x, columns, method)

    monkeypatch.setattr(saliency, "maps", scarce)
    found = saliency.of_contexts(Bright(), contexts, ["Mass"], "grad-cam", **given)
    for one, other in zip(found, expected, strict=True):
        assert isinstance(one, dict) and isinstance(other, dict)
        assert (one["Mass"] == other["Mass"]).all()


# --- studies ----------------------------------------------------------------------------------------------------------


def test_an_image_that_can_t_be_read_is_that_study_s_failure(made: SimpleNamespace, trained: SimpleNamespace) -> None:
    good = made.contexts(made.studies(3, 5))
    bad = Context("bad", images=(made.image(made.unreadable),))
    found = trained.encoder.saliency([good[0], bad, Context("none"), good[1]], ["Edema"])
    assert [isinstance(each, Failure) for each in found] == [False, True, True, False]
    assert "truncated" in found[1].message and "none has no image" in found[2].message
    (alone,) = trained.encoder.saliency([good[1]], ["Edema"])
    assert np.allclose(found[3]["Edema"], alone["Edema"], rtol=1e-4, atol=1e-6)


def test_the_first_frontal_image_is_looked_at(made: SimpleNamespace) -> None:
    lateral = made.image(lambda: np.full((64, 64), 0.1, np.float32), "l", "LATERAL")
    frontal = made.image(lambda: np.ones((64, 32), np.float32), "f", "PA")
    seen = Context("s", images=(lateral, frontal))
    (maps,) = saliency.of_contexts(Bright(), [seen], ["Mass"], "grad-cam", card=card(), size=64)
    assert isinstance(maps, dict) and maps["Mass"].shape == (64, 32) and maps["Mass"].max() > 0


def test_what_can_t_be_is_refused_by_name(made: SimpleNamespace, trained: SimpleNamespace) -> None:
    contexts = made.contexts(made.studies(1, 5))
    for label, says in (("Nodule", "does not assess 'Nodule'"), ("Masss", "Did you mean 'Mass'")):
        with pytest.raises(UsageError, match=says):
            saliency.of_contexts(Bright(), contexts, ["Mass", label], "grad-cam", card=card(), size=64)
    with pytest.raises(UsageError, match=r"no method 'grad-cma'. Did you mean 'grad-cam'"):
        trained.encoder.saliency(contexts, ["Edema"], "grad-cma")
    with pytest.raises(UsageError, match="no trained weights"):
        TimmEncoder(model="test_resnet", checkpoint=None, size=64).saliency(contexts, ["Edema"])
    assert trained.encoder.saliency(contexts, []) == [{}]
