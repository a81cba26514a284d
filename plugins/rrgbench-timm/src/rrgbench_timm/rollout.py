"""Attention rollout: how much of each cell of the picture reaches what a ViT's head reads, by its attention alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn

from rrgbench.errors import UsageError
from rrgbench_timm.cams import blocks, grid, noise


def rollout_map(model: Any, x: torch.Tensor) -> torch.Tensor:
    """The product of all blocks' attention, heads averaged, each with an identity for the residual path.

    Abnar & Zuidema (ACL 2020): A = (mean of the heads + I) / 2, A_last ... A_first; of it the rows of the tokens that
    the head reads, averaged. Shape (batch, cells, cells). Raises UsageError where a model is no plain ViT.
    """
    attention, tokens = _attention(model, x)
    identity = torch.eye(tokens.shape[1], dtype=tokens.dtype, device=tokens.device)
    total = identity
    for each in attention:
        mixed = each.mean(dim=1) + identity
        total = mixed / mixed.sum(dim=-1, keepdim=True) @ total  # halved, for both have rows that sum to 1
    return grid(model, total[:, _read(model, tokens)].mean(dim=1).unsqueeze(-1))[:, 0]


def _attention(model: Any, x: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Each block's attention, (batch, heads, tokens, tokens), and the tokens that go into the head."""
    kept: dict[int, torch.Tensor] = {}

    def keep(block: int, is_dropout: bool, module: nn.Module, args: Any, output: Any) -> None:
        if isinstance(output, tuple) and len(output) == 2:  # transformers' attention gives its weights beside the rest
            output, is_dropout = output[1], True
        if is_dropout and torch.is_tensor(output) and output.ndim == 4:
            kept[block] = output

    found = blocks(model)
    handles = [
        module.register_forward_hook(partial(keep, at, name.endswith("attn_drop")))
        for at, block in enumerate(found)
        for name, module in block.named_modules()
    ]
    try:
        with _attention_in_steps(model), torch.no_grad():
            tokens = model.forward_features(x)
    finally:
        for handle in handles:
            handle.remove()
    plain = torch.is_tensor(tokens) and tokens.ndim == 3
    square = (len(x), *2 * tokens.shape[1:2]) if plain else ()
    if not found or sum((len(each), *each.shape[2:]) == square for each in kept.values()) < len(found):
        raise UsageError(
            f"Attention rollout is not defined for {type(model).__name__}: it needs a plain ViT, in which every block"
            " attends from all tokens to all tokens. Choose grad-cam."
        )
    return [kept[at] for at in sorted(kept)], tokens


def _read(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    """Which tokens the head reads (the class token alone, or all): those at which the logits have a gradient."""
    some = noise(tokens).requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(model.forward_head(some).sum(), some)
    return gradient[0].any(dim=-1)


@contextmanager
def _attention_in_steps(model: Any) -> Iterator[None]:
    """No fused kernels meanwhile: they don't show the attention."""
    fused = [module for module in model.modules() if getattr(module, "fused_attn", False)]
    foreign = [module for module in model.modules() if hasattr(module, "set_attn_implementation")][:1]
    before = [module.config._attn_implementation for module in foreign]
    try:
        for module in fused:
            module.fused_attn = False
        for module in foreign:
            module.set_attn_implementation("eager")
        yield
    finally:
        for module in fused:
            module.fused_attn = True
        for module, name in zip(foreign, before, strict=True):
            module.set_attn_implementation(name)
