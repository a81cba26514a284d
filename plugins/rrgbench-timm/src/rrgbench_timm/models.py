"""Networks by name, timm's and (``hf:``) transformers' vision backbones, with errors that say what to change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from rrgbench import torchvision_ops
from rrgbench.errors import UsageError, did_you_mean

torchvision_ops.declare_missing()

import timm  # noqa: E402  (only after the operators that it needs are declared)
from timm.layers import DropPath  # noqa: E402

from rrgbench_timm import backbones, hf_folder  # noqa: E402

# Arguments of timm.create_model that are set here, or that would load files of any kind.
RESERVED = frozenset(
    {
        "cache_dir",
        "checkpoint_path",
        "features_only",
        "in_chans",
        "num_classes",
        "pretrained",
        "pretrained_cfg",
        "pretrained_cfg_overlay",
    }
)


def check_name(name: str) -> None:
    """Raise UsageError unless timm has a model of this name (no hub or folder address is taken for one)."""
    if not timm.is_model(name):
        known = timm.list_models()
        raise UsageError(f"timm {timm.__version__} has no model {name!r}.{did_you_mean(name, known)}")


def default_size(name: str) -> int:
    """The image size, in pixels, that a model was made for; 224 where timm gives none."""
    if backbones.is_one(name):
        return hf_folder.default_size(name)
    check_name(name)
    config = timm.get_pretrained_cfg(name)
    return int(config.input_size[-1]) if config else 224


def pretrained_normalisation(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The mean and the standard deviation of each channel that a model's hub weights were trained with."""
    if backbones.is_one(name):
        return hf_folder.normalisation(name)
    check_name(name)
    config = timm.get_pretrained_cfg(name)
    if config is None:
        raise UsageError(f"timm has no weights of {name}, so how their pixels were scaled is not known.")
    return tuple(config.mean), tuple(config.std)


def described(name: str, model_args: Mapping[str, Any], model: torch.nn.Module) -> tuple[str, dict[str, Any]]:
    """The name and the arguments that a checkpoint of this model keeps: all that ``create`` needs, no folder or hub."""
    if backbones.is_one(name):
        return backbones.plain_name(name), backbones.arguments(model)
    return name, dict(model_args)


def create(
    name: str,
    model_args: Mapping[str, Any],
    *,
    size: int,
    in_chans: int,
    classes: int,
    seed: int,
    pretrained: bool = False,
    dropout: float = 0.0,
    drop_path: float = 0.0,
) -> torch.nn.Module:
    """A model that takes (batch, in_chans, size, size) and gives (batch, classes) logits, in evaluation mode.

    ``name`` is timm's, or ``hf:`` and a hub repository or a folder (``backbones``). ``dropout`` is the head's rate and
    ``drop_path`` that of the deepest block; 0 leaves what the model or ``model_args`` say. Its random weights hang on
    ``seed`` alone. Raises UsageError.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: Any  # with timm's methods, which a Module has not
        if backbones.is_one(name):
            model = backbones.create(
                name,
                model_args,
                size=size,
                in_chans=in_chans,
                classes=classes,
                pretrained=pretrained,
                dropout=dropout,
                drop_path=drop_path,
            )
        else:
            rates = {"drop_rate": dropout, "drop_path_rate": drop_path}
            arguments = {**model_args, **{key: rate for key, rate in rates.items() if rate}}
            model = _timm(name, arguments, size, in_chans, classes, pretrained)
            if drop_path and not any(isinstance(module, DropPath) for module in model.modules()):
                raise _no_drop_path(name, drop_path)
    model.eval()
    try:
        with torch.inference_mode():
            shape = tuple(model(torch.zeros(1, in_chans, size, size)).shape)
    except (AssertionError, RuntimeError, ValueError) as error:
        raise UsageError(f"The model {name} can't take images of {size} px: {error}. Choose another size.") from error
    if shape != (1, classes):
        raise UsageError(f"The model {name} gives {shape} for one image and not (1, {classes}): it is no classifier.")
    out: torch.nn.Module = model.to(memory_format=torch.channels_last)
    return out


def _timm(
    name: str, model_args: Mapping[str, Any], size: int, in_chans: int, classes: int, pretrained: bool
) -> torch.nn.Module:
    check_name(name)
    if taken := sorted(RESERVED & set(model_args)):
        raise UsageError(f"model_args can't hold {', '.join(taken)}: the encoder sets that itself.")
    config = timm.get_pretrained_cfg(name)
    arguments = dict(model_args)
    if config and config.fixed_input_size:  # such a model is built for one size; the others take any
        arguments["img_size"] = size
    try:
        return timm.create_model(name, pretrained=pretrained, in_chans=in_chans, num_classes=classes, **arguments)
    except OSError as error:
        raise UsageError(
            f"The hub weights of {name} are not in the local cache and can't be downloaded from here."
            " Go online once, or leave pretrained out to start from random weights."
        ) from error
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        if "'drop_path_rate'" in str(error):
            raise _no_drop_path(name, model_args["drop_path_rate"]) from error
        raise UsageError(
            f"timm can't make {name} for {size} px with model_args {dict(model_args)} (pretrained: {pretrained}):"
            f" {type(error).__name__}: {error}"
        ) from error


def _no_drop_path(name: str, rate: float) -> UsageError:
    return UsageError(f"The model {name} has no drop path, so drop_path={rate} can't be. Use dropout, or drop_path=0.")


def head_names(model: Any) -> list[str]:
    """The names of the modules that are the classifier; a model with a distillation head, as LeViT, has two."""
    heads = model.get_classifier()
    wanted = {id(head) for head in (heads if isinstance(heads, tuple) else (heads,))}
    return [name for name, module in model.named_modules() if id(module) in wanted]


def of_head(model: torch.nn.Module, names: Mapping[str, Any]) -> set[str]:
    """Those of the parameters' (or the state's) names that are the classifier's."""
    prefixes = tuple(f"{name}." for name in head_names(model))
    return {name for name in names if name.startswith(prefixes)}


def pooled(model: Any, x: torch.Tensor, blocks: int = 1, average: bool = False) -> torch.Tensor:
    """Features of pictures (batch, in_chans, size, size), shape (batch, dim).

    With ``blocks=1`` and no ``average``: what the head sees. Otherwise those of DINOv2's linear evaluation: the
    normalised class tokens of the last ``blocks`` blocks side by side and, with ``average``, the mean of the last
    block's patch tokens (facebookresearch/dinov2, dinov2/eval/linear.py, create_linear_input). A model without class
    tokens has its own pooling only: ``average`` changes nothing there, and more blocks raise UsageError.
    """
    if not has_class_token(model):
        if blocks > 1:
            raise UsageError(
                f"{type(model).__name__} has no class token, so its features are of blocks=1, not {blocks}."
            )
        average = False
    if blocks == 1 and not average:
        features: torch.Tensor = model.forward_head(model.forward_features(x), pre_logits=True)
        return features
    try:
        layers = model.forward_intermediates(
            x, indices=blocks, return_prefix_tokens=True, norm=True, output_fmt="NLC", intermediates_only=True
        )
    except (AssertionError, ValueError) as error:
        raise UsageError(f"{type(model).__name__} can't give features of {blocks} blocks: {error}.") from error
    pieces = [prefix[:, 0] for _, prefix in layers]
    if average:
        pieces.append(layers[-1][0].mean(dim=1))
    return torch.cat(pieces, dim=1)


class Pooled(torch.nn.Module):
    """A network that gives ``pooled`` in place of logits."""

    def __init__(self, model: torch.nn.Module, blocks: int, average: bool) -> None:
        super().__init__()
        self.model, self._blocks, self._average = model, blocks, average

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features, shape (batch, dim)."""
        return pooled(self.model, x, self._blocks, self._average)


def has_class_token(model: torch.nn.Module) -> bool:
    """Whether a model is a ViT with a class token, so that ``pooled`` can give more than what the head sees."""
    has = getattr(model, "has_class_token", getattr(model, "cls_token", None) is not None)
    return bool(has) and getattr(model, "num_prefix_tokens", 0) > 0


def set_state(model: torch.nn.Module, state: Mapping[str, npt.NDArray[Any]]) -> None:
    """Give a model the weights of a checkpoint. Raises UsageError, which names what differs, unless all of it fits."""
    own = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    shapes = {name: array.shape for name, array in state.items()}
    differing = [
        f"{name} is {shapes[name]} and not {own[name]}" for name in own if shapes.get(name, own[name]) != own[name]
    ]
    absent = [f"{name} is missing" for name in own if name not in shapes]
    foreign = [f"{name} is not the model's" for name in shapes if name not in own]
    if wrong := differing + absent + foreign:
        more = f", and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise UsageError("; ".join(wrong[:3]) + more)
    model.load_state_dict({name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in state.items()})
