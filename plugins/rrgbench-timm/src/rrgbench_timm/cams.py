"""Class activation maps: the deepest feature map that still has a grid, weighted by the gradients of a logit."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from rrgbench.errors import UsageError

# The last feature map of most networks has 7 x 7 cells at the 224 px that they were made for. Smaller pictures leave
# fewer (the shipped vit's last map has 2 x 2), so that an earlier one is taken.
LEAST_CELLS = 7

Hook = Callable[[nn.Module, Any, Any], Any]


def gradient_maps(model: nn.Module, x: torch.Tensor, columns: Sequence[int], elementwise: bool) -> torch.Tensor:
    """Grad-CAM or, ``elementwise``, HiResCAM of each column, (batch, columns, cells, cells). Raises UsageError."""
    layer = looked_at(model, x)
    kept: list[torch.Tensor] = []

    def leaf(module: nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor:
        kept.append(output.detach().requires_grad_())
        return kept[0].clone()  # what follows may work in place

    with hooked([layer], leaf), torch.enable_grad():
        logits = _logits(model, x)
    values = grid(model, kept[0].detach())
    found = []
    for at, column in enumerate(columns):
        more = at + 1 < len(columns)
        (gradient,) = torch.autograd.grad(logits[:, column].sum(), kept[0], retain_graph=more)
        weight = grid(model, gradient)
        if not elementwise:
            weight = weight.mean(dim=(2, 3), keepdim=True)
        found.append((weight * values).sum(dim=1).relu())
    return torch.stack(found, dim=1)


def looked_at(model: nn.Module, x: torch.Tensor) -> nn.Module:
    """The module whose output is looked at. It is found on noise, so that it is the same for every picture.

    A stage, a block or the norm of a transformer's tokens (or else a convolution: HRNet's stages give several maps):
    the deepest that has ``LEAST_CELLS`` cells a side, or the most that there are, and that the logits hang on.
    """
    named = {name: module for name, module in model.named_modules() if not name.endswith(("q_norm", "k_norm"))}
    # Tokens are looked at behind a norm: in front of it, channels weighted by their gradients cancel each other out.
    norms = [module for module in named.values() if re.search("(Layer|Rms|RMS)Norm", type(module).__name__)]
    convolutions = [module for module in named.values() if isinstance(module, nn.Conv2d)]
    sides = _sides(model, [*blocks(model), *norms], x) or _sides(model, convolutions, x)
    if not sides:
        raise UsageError(
            f"{type(model).__name__} has no feature map over the picture that its outputs hang on, so it has no"
            " Grad-CAM. Choose another model."
        )
    enough = min(LEAST_CELLS, max(sides.values()))
    return [module for module, cells in sides.items() if cells >= enough][-1]


def _sides(model: nn.Module, modules: Sequence[nn.Module], x: torch.Tensor) -> dict[nn.Module, int]:
    """The cells a side of each output that is a grid and that the logits hang on, in the order of the calls."""
    outputs: dict[nn.Module, torch.Tensor] = {}

    def keep(module: nn.Module, args: Any, output: Any) -> None:
        if torch.is_tensor(output) and side(model, output):
            outputs[module] = output

    with hooked(modules, keep), torch.enable_grad():
        logits = _logits(model, noise(x).requires_grad_())
    if not outputs:
        return {}
    gradients = torch.autograd.grad(logits.sum(), list(outputs.values()), allow_unused=True)
    return {
        module: side(model, output)
        for (module, output), gradient in zip(outputs.items(), gradients, strict=True)
        if gradient is not None and bool(grid(model, gradient).any())
    }


def noise(like: torch.Tensor) -> torch.Tensor:
    """Always the same noise, in the shape of one item of a batch."""
    return torch.randn(1, *like.shape[1:], generator=torch.Generator().manual_seed(0)).to(like)


def blocks(model: nn.Module) -> list[nn.Module]:
    """The stages of a timm model, the blocks of any other, in their order."""
    known = dict(model.named_modules())
    told = [stage["module"] for stage in getattr(model, "feature_info", None) or ()]
    if stages := [known[name] for name in told if name in known]:
        return stages
    lists = (module for module in known.values() if isinstance(module, nn.ModuleList))
    return list(max(lists, key=len, default=[]))


def side(model: nn.Module, output: torch.Tensor) -> int:
    """How many cells a side of the grid of a layer's output has (pictures are square); 0 for what is no grid."""
    if output.ndim == 4:  # (batch, channels, y, x) or (batch, y, x, channels)
        return int(output.shape[2]) if output.shape[2] in (output.shape[1], output.shape[3]) else 0
    if output.ndim != 3:
        return 0
    tokens, others = output.shape[1], getattr(model, "num_prefix_tokens", 0)
    cells = math.isqrt(max(0, tokens - others))
    return cells if cells**2 + others == tokens else math.isqrt(tokens)  # CaiT's class token comes in after the blocks


def grid(model: nn.Module, output: torch.Tensor) -> torch.Tensor:
    """A layer's output as (batch, channels, y, x), without class and register tokens, which come first."""
    if output.ndim == 4:
        channels_last = getattr(model, "output_fmt", "NCHW") == "NHWC" or output.shape[2] != output.shape[3]
        return output.permute(0, 3, 1, 2) if channels_last else output
    cells = side(model, output)
    return output[:, output.shape[1] - cells**2 :].transpose(1, 2).reshape(len(output), -1, cells, cells)


@contextmanager
def hooked(modules: Sequence[nn.Module], hook: Hook) -> Iterator[None]:
    """A forward hook on all these modules meanwhile."""
    handles = [module.register_forward_hook(hook) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _logits(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The model's outputs. Its parameters take no gradient, so that memory holds only what follows the feature map."""
    frozen = {name: parameter.detach() for name, parameter in model.named_parameters()}
    out: torch.Tensor = torch.func.functional_call(model, frozen, (x,))
    return out
