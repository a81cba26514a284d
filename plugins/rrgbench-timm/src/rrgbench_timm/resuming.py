"""The state of a training that is under way, in one safetensors file from which a killed one goes on. No pickles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

_KEY = "rrgbench-training"
_OPTIMISER = "optimiser"

Tensors = dict[str, torch.Tensor]


def save(path: Path, training: str, standing: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> None:
    """Write the state; the file before is replaced only once this one is whole.

    ``training`` is a digest of all that the training hangs on; ``standing`` is what JSON can hold of the state.
    """
    part = _part(path)
    arrays = {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in tensors.items()}
    save_file(arrays, part, {_KEY: json.dumps({"training": training, "standing": standing})})
    part.replace(path)


def load(path: Path, training: str) -> tuple[dict[str, Any], Tensors] | str:
    """The standing and the tensors of ``save``, on the CPU; or, in words, why there is nothing to go on from."""
    if not path.is_file():
        return ""
    try:
        with safe_open(path, framework="pt") as opened:
            told = json.loads((opened.metadata() or {}).get(_KEY, "{}"))
            if told.get("training") != training:
                return f"{path} is of another training (other data, recipe or model): this one begins anew"
            return told["standing"], {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        return f"{path} can't be read ({error}): the training begins anew"


def remove(path: Path) -> None:
    """Remove a state, and what a killed process may have left of one."""
    for file in (path, _part(path)):
        file.unlink(missing_ok=True)


def of_optimiser(optimiser: torch.optim.Optimizer) -> Tensors:
    """The tensors that an optimiser keeps of each parameter (moments, momentum, the number of steps)."""
    state = optimiser.state_dict()["state"]
    return {
        f"{_OPTIMISER}.{index}.{name}": value
        for index, values in state.items()
        for name, value in values.items()
        if value is not None
    }


def to_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Give an optimiser of the same parameters what ``of_optimiser`` took."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    for name, value in taken(tensors, _OPTIMISER).items():
        index, _, own = name.partition(".")
        parameter = parameters[int(index)]
        if value.shape == parameter.shape:
            # In the parameter's order of memory, which fused optimisers take for granted without a look.
            value = torch.empty_like(parameter).copy_(value)
        state.setdefault(int(index), {})[own] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def of_model(model: torch.nn.Module, kind: str) -> Tensors:
    """A model's tensors under names that begin with ``kind``."""
    return {f"{kind}.{name}": tensor for name, tensor in model.state_dict().items()}


def taken(tensors: Mapping[str, torch.Tensor], kind: str) -> Tensors:
    """The tensors whose names begin with ``kind``, without it."""
    start = f"{kind}."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")
