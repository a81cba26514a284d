from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from rrgbench_timm import adapting, models
from torch import nn

from rrgbench.errors import UsageError

HERE = {"size": 64, "in_chans": 1, "classes": 3, "seed": 0}
State = dict[str, torch.Tensor]


def pictures(n: int = 8) -> torch.Tensor:
    return torch.randn(n, 1, 64, 64, generator=torch.Generator().manual_seed(0))


def state_of(model: nn.Module) -> State:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def changed(before: State, after: State) -> set[str]:
    assert list(before) == list(after)
    return {name for name in before if not torch.equal(before[name], after[name])}


def steps(model: nn.Module, n: int = 3, layer_decay: float = 1.0) -> None:
    """Real steps of training, as the loop does them."""
    optimiser = torch.optim.AdamW(adapting.parameter_groups(model, 1e-2, 0.05, layer_decay))
    target = torch.arange(24).reshape(8, 3).remainder(2).float()
    for _ in range(n):
        adapting.train_mode(model)
        loss = nn.functional.binary_cross_entropy_with_logits(model(pictures()), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval()


@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "levit_128s"])
def test_a_frozen_backbone_stays_to_the_bit_statistics_included(name: str) -> None:
    model = models.create(name, {}, **HERE, dropout=0.1, drop_path=0.3)
    adapting.freeze(model, ["backbone"])
    before = state_of(model)
    steps(model)
    moved = changed(before, state_of(model))
    assert moved
    assert moved <= models.of_head(model, before)


def test_without_freezing_statistics_move() -> None:
    model = models.create("test_resnet", {}, **HERE)
    before = state_of(model)
    steps(model, 1)
    assert {"bn1.running_mean", "conv1.0.weight", "fc.bias"} <= changed(before, state_of(model))


def test_named_layers_are_frozen_in_whole_pieces() -> None:
    model = models.create("test_resnet", {}, **HERE)
    adapting.freeze(model, ["conv1", "bn1", "layer1.0."])
    before = state_of(model)
    steps(model)
    frozen = set(before) - changed(before, state_of(model))
    assert frozen == {name for name in before if name.startswith(("conv1.", "bn1.", "layer1.0."))}
    vit = models.create("test_vit", {"depth": 11}, **HERE)
    adapting.freeze(vit, ["blocks.1"])
    still = {name for name, parameter in vit.named_parameters() if not parameter.requires_grad}
    assert still
    assert all(name.startswith("blocks.1.") for name in still)


def test_dropout_of_frozen_layers_is_off() -> None:
    model = models.create("test_vit", {"proj_drop_rate": 0.5}, **HERE, dropout=0.5)
    adapting.freeze(model, ["blocks"])
    adapting.train_mode(model)
    assert not any(module.training for module in model.blocks.modules())
    assert model.head_drop.training
    adapting.freeze(model, [])
    assert model.training


@pytest.mark.parametrize(
    ("patterns", "says"),
    [
        (["layer9"], "freeze='layer9' names no layer of ResNet. Did you mean 'layer"),
        (["lay"], "first layers' names: conv1, bn1, layer1"),
        (["backbone", "fc"], "nothing is left to learn"),
    ],
)
def test_patterns_that_make_no_sense_are_refused(patterns: Sequence[str], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        adapting.freeze(models.create("test_resnet", {}, **HERE), patterns)
    assert says in str(caught.value)


# --- low-rank updates -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "levit_128s"])
def test_lora_changes_nothing_but_the_updates_and_the_head_and_merges_into_the_plain_names(name: str) -> None:
    model = models.create(name, {}, **HERE)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            nn.init.ones_(module.weight)  # an untrained network's residual paths end in 0, which no gradient passes
    plain = state_of(model)
    with torch.no_grad():
        first = model(pictures())
        adapted = adapting.add_lora(model, 2)
        assert torch.equal(adapted.eval()(pictures()), first)
    before = state_of(adapted)
    steps(adapted)
    moved = changed(before, state_of(adapted))
    assert all("lora_" in name for name in moved - models.of_head(model, before))
    assert {name for name in before if "lora_" in name} <= moved
    with torch.no_grad():
        trained = adapted(pictures())
        assert not torch.allclose(trained, first, atol=1e-3)
        merged = adapting.merge_lora(adapted)
        assert torch.allclose(merged(pictures()), trained, atol=1e-4)
    after = state_of(merged)
    assert list(after) == list(plain)
    fresh = models.create(name, {}, **HERE)
    models.set_state(fresh, {name: tensor.numpy() for name, tensor in after.items()})
    with torch.no_grad():
        assert torch.equal(fresh(pictures()), merged(pictures()))


def test_lora_leaves_a_frozen_head_frozen_and_hangs_on_its_seed() -> None:
    def made(seed: int) -> State:
        model = models.create("test_vit", {}, **HERE)
        adapting.freeze(model, ["head"])
        adapting.add_lora(model, 2, seed)
        assert all("lora_" in name for name, parameter in model.named_parameters() if parameter.requires_grad)
        return state_of(model)

    assert not changed(made(3), made(3))
    assert all("lora_A" in name for name in changed(made(3), made(4)))


# --- parameter groups -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["levit_128s", "test_resnet"])
def test_without_layer_decay_matrices_decay_and_vectors_do_not(name: str) -> None:
    model = models.create(name, {}, **HERE)
    matrices, vectors = adapting.parameter_groups(model, 3e-3, 0.05, 1.0)

    def same(params: list[nn.Parameter], keep: Callable[[nn.Parameter], bool]) -> bool:
        return [id(p) for p in params] == [id(p) for p in model.parameters() if keep(p)]

    assert same(matrices["params"], lambda p: p.ndim > 1)
    assert same(vectors["params"], lambda p: p.ndim <= 1)
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (0.05, 0.0)
    assert {(group["lr"], group["share"]) for group in (matrices, vectors)} == {(3e-3, 1.0)}


def test_layer_decay_falls_from_the_head_to_the_stem() -> None:
    model = models.create("test_vit", {"depth": 3}, **HERE)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = adapting.parameter_groups(model, 1e-3, 0.05, 0.5)
    share = {names[id(p)]: group["share"] for group in groups for p in group["params"]}
    decayed = {names[id(p)] for group in groups for p in group["params"] if group["weight_decay"]}
    assert set(share) == set(names.values())
    assert share["head.weight"] == 1
    assert [share[f"blocks.{i}.attn.qkv.weight"] for i in range(3)] == [0.125, 0.25, 0.5]
    assert share["patch_embed.proj.weight"] == share["pos_embed"] == 0.0625
    assert all(group["lr"] == pytest.approx(1e-3 * group["share"]) for group in groups)
    assert "patch_embed.proj.weight" in decayed
    assert not {"pos_embed", "cls_token", "head.bias"} & decayed


def test_frozen_parameters_are_in_no_group() -> None:
    for layer_decay in (1.0, 0.7):
        model = models.create("test_vit", {}, **HERE)
        adapting.freeze(model, ["backbone"])
        groups = adapting.parameter_groups(model, 1e-3, 0.05, layer_decay)
        assert {id(p) for group in groups for p in group["params"]} == {id(p) for p in model.head.parameters()}
        model.requires_grad_(False)
        with pytest.raises(UsageError, match="nothing to learn"):
            adapting.parameter_groups(model, 1e-3, 0.05, layer_decay)
