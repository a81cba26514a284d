"""What of a network learns, and how fast: frozen layers, low-rank updates, learning rates that fall with depth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from rrgbench.errors import UsageError, did_you_mean
from rrgbench_timm.models import of_head

_BACKBONE = "backbone"


def freeze(model: nn.Module, patterns: Sequence[str]) -> None:
    """Keep the parameters of the named layers from learning.

    A pattern is the beginning of a name, in whole pieces (``blocks.1`` is not ``blocks.10``), or ``backbone``: all but
    the head. Raises UsageError for one that names nothing, or where nothing is left to learn.
    """
    parameters = dict(model.named_parameters())
    for pattern in patterns:
        if pattern == _BACKBONE:
            frozen = set(parameters) - of_head(model, parameters)
        else:
            frozen = {name for name in parameters if f"{name}.".startswith(f"{pattern.rstrip('.')}.")}
        if not frozen:
            raise UsageError(_no_such_layer(model, pattern))
        for name in frozen:
            parameters[name].requires_grad_(False)
    if patterns and not any(parameter.requires_grad for parameter in parameters.values()):
        raise UsageError(f"With freeze={list(patterns)} nothing is left to learn. Leave at least the head.")


def _no_such_layer(model: nn.Module, pattern: str) -> str:
    names = [name for name, module in model.named_modules() if name and any(True for _ in module.parameters())]
    top = ", ".join(name for name in names if "." not in name)
    return (
        f"freeze={pattern!r} names no layer of {type(model).__name__}.{did_you_mean(pattern, names)}"
        f" Its first layers' names: {top}; or `backbone`, for all but the head."
    )


def train_mode(model: nn.Module) -> None:
    """Training mode, except in layers that are frozen altogether.

    Those stay in evaluation mode: no dropout in them, and their batch norms' running statistics don't move by a bit.
    """
    model.train()
    _rest(model)


def _rest(module: nn.Module) -> None:
    learns = [parameter.requires_grad for parameter in module.parameters()]
    if learns and not any(learns):
        module.eval()
        return
    for child in module.children():
        _rest(child)


def add_lora(model: nn.Module, rank: int, seed: int = 0) -> nn.Module:
    """The model, changed in place, with updates of this rank beside each matrix of its backbone.

    They are added to its linear layers or, where it has none, to its convolutions (Hu et al., ICLR 2022; alpha = rank,
    so that an update counts fully; it is 0 at first). Everything but the updates and the head is frozen. ``seed`` is
    that of their first values. A matrix that its layer reads past the module (the qkv of timm's EVA and BEiT) gets an
    update that does nothing. Raises UsageError where peft is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise UsageError("lora needs the package peft: pip install 'rrgbench-timm[lora]'.") from None
    head = of_head(model, dict(model.named_parameters()))
    learning = [p for name, p in model.named_parameters() if name in head and p.requires_grad]
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=_matrices(model))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(config, model)
    for parameter in learning:
        parameter.requires_grad_(True)
    return model


def _matrices(model: nn.Module) -> list[str]:
    modules = dict(model.named_modules())
    head = of_head(model, {f"{name}.": None for name in modules})
    # An attention layer of torch's own reads its output matrix past the module, so an update of it would do nothing.
    inside = nn.modules.linear.NonDynamicallyQuantizableLinear
    backbone = {name: module for name, module in modules.items() if f"{name}." not in head}
    linear = [n for n, m in backbone.items() if isinstance(m, nn.Linear) and not isinstance(m, inside)]
    found = linear or [n for n, m in backbone.items() if isinstance(m, nn.Conv2d) and m.groups == 1]
    if not found:
        raise UsageError(f"{type(model).__name__} has no linear layer and no convolution that lora could update.")
    return found


def merge_lora(model: nn.Module) -> nn.Module:
    """The model, changed in place, with its low-rank updates added to its matrices, under the plain names again."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            parent, _, own = name.rpartition(".")
            setattr(model.get_submodule(parent), own, module.get_base_layer())
    return model


def parameter_groups(model: Any, lr: float, weight_decay: float, layer_decay: float = 1.0) -> list[dict[str, Any]]:
    """Groups of the parameters that learn, for an optimiser: ``params``, ``lr``, ``weight_decay``, ``share``.

    Vectors (biases, norms) have no weight decay. ``share`` is the group's part of the peak ``lr``: 1, or, with a
    ``layer_decay`` below 1, that to the power of the layers between the group and the head (Clark et al., ICLR 2020;
    Bao et al., BEiT, ICLR 2022). Layers are then as timm groups the model's, and what the model itself says has no
    weight decay, as position embeddings, has none. Raises UsageError where nothing learns.
    """
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not learning:
        raise UsageError("Every parameter is frozen: there is nothing to learn.")
    if layer_decay == 1:
        matrices = [parameter for parameter in learning if parameter.ndim > 1]
        vectors = [parameter for parameter in learning if parameter.ndim <= 1]
        parts = [(matrices, weight_decay, 1.0), (vectors, 0.0, 1.0)]
    else:
        from timm.optim import param_groups_layer_decay

        without = model.no_weight_decay() if hasattr(model, "no_weight_decay") else ()
        groups = param_groups_layer_decay(model, weight_decay, without, layer_decay=layer_decay)
        parts = [(group["params"], group["weight_decay"], group["lr_scale"]) for group in groups]
    return [
        {"params": params, "lr": lr * share, "weight_decay": decay, "share": share} for params, decay, share in parts
    ]
