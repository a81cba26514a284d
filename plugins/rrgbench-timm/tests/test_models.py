from __future__ import annotations

import numpy as np
import pytest
import torch
from rrgbench_timm import models

from rrgbench.errors import UsageError

HERE = {"size": 64, "in_chans": 1, "classes": 3, "seed": 0}


def pictures(n: int = 2, size: int = 64) -> torch.Tensor:
    return torch.randn(n, 1, size, size, generator=torch.Generator().manual_seed(0))


def test_the_same_seed_gives_the_same_weights_and_leaves_the_random_state_alone() -> None:
    before = torch.random.get_rng_state()
    first, second = (models.create("test_vit", {}, **HERE) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    other = models.create("test_vit", {}, **{**HERE, "seed": 1})
    assert torch.equal(first.head.weight, second.head.weight)
    assert not torch.equal(first.head.weight, other.head.weight)


def test_dropout_and_drop_path_act_in_training_only_and_change_no_weights() -> None:
    plain = models.create("test_vit", {}, **HERE)
    dropping = models.create("test_vit", {}, **HERE, dropout=0.5, drop_path=0.3)
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), dropping.parameters(), strict=True))
    assert torch.equal(plain(pictures()), dropping(pictures()))
    assert dropping.head_drop.p == 0.5
    assert dropping.blocks[-1].drop_path1.drop_prob == pytest.approx(0.3)
    assert models.create("test_vit", {"drop_rate": 0.2}, **HERE).head_drop.p == 0.2


def test_drop_path_where_there_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match=r"densenet121 has no drop path.*drop_path=0\.1"):
        models.create("densenet121", {}, **HERE, drop_path=0.1)


@pytest.mark.parametrize(
    ("name", "heads"),
    [
        ("test_vit", ["head"]),
        ("test_resnet", ["fc"]),
        ("levit_128s", ["head", "head_dist"]),
        ("convnext_atto", ["head.fc"]),
    ],
)
def test_the_head_is_found_and_nothing_else(name: str, heads: list[str]) -> None:
    model = models.create(name, {}, **HERE)
    assert models.head_names(model) == heads
    of_head = models.of_head(model, dict(model.named_parameters()))
    shapes = {tuple(p.shape) for n, p in model.named_parameters() if n in of_head and n.endswith(("bias", "weight"))}
    assert (3,) in shapes
    assert all(n.startswith(tuple(heads)) for n in of_head)


@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "levit_128s"])
def test_pooled_features_are_what_the_head_sees(name: str) -> None:
    model = models.create(name, {}, **HERE)
    with torch.inference_mode():
        features = models.pooled(model, pictures())
        heads = [model.get_submodule(head) for head in models.head_names(model)]
        assert torch.allclose(sum(head(features) for head in heads) / len(heads), model(pictures()), atol=1e-6)


def test_deeper_features_are_dinov2s_class_tokens_and_the_mean_patch_token() -> None:
    model = models.create("test_vit", {}, **HERE)
    with torch.inference_mode():
        layers = model.get_intermediate_layers(pictures(), n=3, return_prefix_tokens=True, norm=True)
        tokens = [prefix[:, 0] for _, prefix in layers]
        assert torch.equal(models.pooled(model, pictures(), blocks=3), torch.cat(tokens, 1))
        with_average = models.pooled(model, pictures(), average=True)
        assert torch.equal(with_average, torch.cat([tokens[-1], layers[-1][0].mean(dim=1)], 1))
        assert torch.allclose(tokens[-1], models.pooled(model, pictures()), atol=1e-6)


def test_more_blocks_than_there_are_or_can_be_are_refused() -> None:
    with pytest.raises(UsageError, match="no class token.*blocks=1, not 2"):
        models.pooled(models.create("test_resnet", {}, **HERE), pictures(), blocks=2)
    vit = models.create("test_vit", {}, **HERE)
    with pytest.raises(UsageError, match="can't give features of 99 blocks"):
        models.pooled(vit, pictures(), blocks=99)


def test_a_cnn_has_its_own_average_only() -> None:
    model = models.create("test_resnet", {}, **HERE)
    with torch.inference_mode():
        assert torch.equal(models.pooled(model, pictures(), average=True), models.pooled(model, pictures()))


def test_weights_that_do_not_fit_are_named() -> None:
    model = models.create("test_resnet", {}, **HERE)
    state = {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}
    models.set_state(model, state)
    wrong = {**state, "fc.bias": np.zeros(4, np.float32), "extra": np.zeros(1)}
    del wrong["conv1.0.weight"]
    with pytest.raises(UsageError) as caught:
        models.set_state(model, wrong)
    assert str(caught.value) == "fc.bias is (4,) and not (3,); conv1.0.weight is missing; extra is not the model's"


def test_a_timm_model_is_described_by_its_own_name_and_arguments() -> None:
    model = models.create("test_vit", {"drop_rate": 0.1}, **HERE)
    assert models.described("test_vit", {"drop_rate": 0.1}, model) == ("test_vit", {"drop_rate": 0.1})


def test_unknown_models_are_refused_with_the_nearest_name() -> None:
    for ask in (models.default_size, models.pretrained_normalisation):
        with pytest.raises(UsageError, match="Did you mean 'test_resnet'"):
            ask("test_resnett")
    config = models.timm.get_pretrained_cfg("test_resnet")
    assert models.pretrained_normalisation("test_resnet") == (tuple(config.mean), tuple(config.std))
