"""Weights of others' checkpoints, to start a training from: safetensors, or what torch.load reads with weights only.

They are not weights to encode with: a foreign file says neither which labels its outputs are, nor how its pictures were
made. A pickle that needs more than tensors and plain containers is refused; nothing in it is run.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from rrgbench.errors import UsageError
from rrgbench_timm.checkpoint import State
from rrgbench_timm.models import of_head

_PICKLED = (".pt", ".pth", ".ckpt", ".bin")
# Under which a training keeps its weights; of a self-distillation's two networks, the teacher is the one to use.
_KEYS = ("state_dict", "model", "model_state_dict", "teacher", "student")
# What trainers, wrappers and two-tower models put before a backbone's names.
_PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.", "encoder.", "visual.", "vision_model.", "trunk.")


@dataclass(frozen=True)
class Report:
    """What ``fit_into`` did: how many of the backbone's tensors it loaded, and the names of those it could not.

    ``missing``: the model's, which the file lacks; ``other_shape``: the model's, which the file has in another shape;
    ``unused``: the file's, which the model's backbone has no place for (its head among them).
    """

    matched: int
    of: int
    missing: tuple[str, ...]
    other_shape: tuple[str, ...]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        out = f"{self.matched} of the backbone's {self.of} tensors were loaded"
        for names, what in (
            (self.missing, "are not in the file"),
            (self.other_shape, "have another shape there"),
            (self.unused, "of the file were not used"),
        ):
            if names:
                out += f"; {len(names)} {what} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
        return f"{out}."


def weights(path: Path) -> State:
    """The tensors of a checkpoint by their names in it. Raises UsageError, which names the file."""
    if not path.is_file():
        raise UsageError(f"The file {path} to start from is not there.")
    if path.suffix == ".safetensors":
        found: Any = _safe(path)
    elif path.suffix in _PICKLED:
        found = _state_dict(_pickled(path))
    else:
        known = ", ".join((".safetensors", *_PICKLED))
        raise UsageError(f"The file {path} to start from is of no known kind. Known are: {known}.")
    if not found:
        raise UsageError(
            f"The file {path} holds no weights by name, neither at its top nor under {', '.join(_KEYS)}."
            " Save the network's state_dict() alone."
        )
    state = {}
    for name, tensor in found.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise UsageError(f"The file {path} holds NaN or infinite weights, first in {name!r}.")
        tensor = tensor.detach()
        state[name] = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()  # numpy has no bfloat16
    return state


def fit_into(model: nn.Module, weights: State) -> Report:
    """Load into a model what matches its backbone by name and shape, and say what did. Its head stays as it is.

    Of the known prefixes (``module.``, ``backbone.`` and so on) those are put aside, before the file's names and the
    model's, with which most tensors match. Raises UsageError where fewer than half of the backbone's do.
    """
    own = model.state_dict()
    head = of_head(model, own)
    backbone = {name: tensor for name, tensor in own.items() if name not in head}
    candidates = (_renamed(weights, theirs, ours) for theirs in _leading(weights) for ours in _leading(backbone))
    source = max(candidates, key=lambda names: len(_matching(backbone, names, weights)))
    matched = _matching(backbone, source, weights)
    report = Report(
        matched=len(matched),
        of=len(backbone),
        missing=tuple(name for name in backbone if name not in source),
        other_shape=tuple(name for name in backbone if name in source and name not in matched),
        unused=tuple(name for name in weights if name not in {source[name] for name in matched}),
    )
    if 2 * len(matched) < len(backbone):
        raise UsageError(
            f"The weights to start from are not {type(model).__name__}'s: {report} At least half of them must be."
            " Choose the model (model=, model_args=, size=) that they were made with."
        )
    model.load_state_dict({**own, **{name: torch.from_numpy(weights[source[name]]) for name in matched}})
    return report


def _safe(path: Path) -> dict[str, torch.Tensor]:
    try:
        with safe_open(path, framework="pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  (it is no mapping)
    except (SafetensorError, OSError) as error:
        raise UsageError(f"The file {path} is no whole safetensors file: {error}.") from error


def _pickled(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        first = str(error).split("\n")[0]
        raise UsageError(
            f"The file {path} is a pickle that holds more than weights, which could run any code, so it is not opened"
            f" ({first}). Where you trust it, save its state_dict() alone, best as safetensors, and start from that."
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise UsageError(f"The file {path} can't be read by torch.load: {type(error).__name__}: {error}.") from error


def _state_dict(found: Any) -> dict[str, torch.Tensor]:
    """The state dict in what a training saved: the first under a usual key, or else the tensors at the top."""
    if not isinstance(found, Mapping):
        return {}
    for key in _KEYS:
        if inner := _state_dict(found.get(key)):
            return inner
    return {name: value for name, value in found.items() if isinstance(name, str) and isinstance(value, torch.Tensor)}


def _leading(names: Mapping[str, Any]) -> list[str]:
    """The chains of known prefixes that names begin with, the empty one among them."""

    def chains(name: str) -> Iterator[str]:
        chain = ""
        yield chain
        while prefix := next((p for p in _PREFIXES if name.startswith(p, len(chain))), ""):
            chain += prefix
            yield chain

    return sorted({chain for name in names for chain in chains(name)}, key=len)


def _renamed(names: Mapping[str, Any], theirs: str, ours: str) -> dict[str, str]:
    """The model's name of each of the file's: one prefix in the place of the other, where it stands there."""
    return {ours + name.removeprefix(theirs): name for name in names if name.startswith(theirs)}


def _matching(backbone: Mapping[str, torch.Tensor], source: Mapping[str, str], weights: State) -> list[str]:
    return [n for n, tensor in backbone.items() if n in source and weights[source[n]].shape == tuple(tensor.shape)]
