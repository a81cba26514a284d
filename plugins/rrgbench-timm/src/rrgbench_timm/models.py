"""timm's models by name, with errors that say what to change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from rrgbench import torchvision_ops
from rrgbench.errors import UsageError, did_you_mean

torchvision_ops.declare_missing()

import timm  # noqa: E402  (only after the operators that it needs are declared)

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
    """The image size, in pixels, that timm gives for a model; 224 where it gives none."""
    check_name(name)
    config = timm.get_pretrained_cfg(name)
    return int(config.input_size[-1]) if config else 224


def pretrained_normalisation(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The mean and the standard deviation of each channel that a model's hub weights were trained with."""
    config = timm.get_pretrained_cfg(name)
    return tuple(config.mean), tuple(config.std)


def create(
    name: str,
    model_args: Mapping[str, Any],
    *,
    size: int,
    in_chans: int,
    classes: int,
    seed: int,
    pretrained: bool = False,
) -> torch.nn.Module:
    """A model that takes (batch, in_chans, size, size) and gives (batch, classes) logits, in evaluation mode.

    Its random weights hang on ``seed`` alone. Raises UsageError.
    """
    check_name(name)
    if taken := sorted(RESERVED & set(model_args)):
        raise UsageError(f"model_args can't hold {', '.join(taken)}: the encoder sets that itself.")
    config = timm.get_pretrained_cfg(name)
    arguments = dict(model_args)
    if config and config.fixed_input_size:  # such a model is built for one size; the others take any
        arguments["img_size"] = size
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = timm.create_model(name, pretrained=pretrained, in_chans=in_chans, num_classes=classes, **arguments)
    except OSError as error:
        raise UsageError(
            f"The hub weights of {name} are not in the local cache and can't be downloaded from here."
            " Go online once, or leave pretrained out to start from random weights."
        ) from error
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise UsageError(
            f"timm can't make {name} for {size} px with model_args {dict(model_args)} (pretrained: {pretrained}):"
            f" {type(error).__name__}: {error}"
        ) from error
    model.eval()
    try:
        with torch.inference_mode():
            shape = tuple(model(torch.zeros(1, in_chans, size, size)).shape)
    except (AssertionError, RuntimeError, ValueError) as error:
        raise UsageError(f"The model {name} can't take images of {size} px: {error}. Choose another size.") from error
    if shape != (1, classes):
        raise UsageError(f"The model {name} gives {shape} for one image and not (1, {classes}): it is no classifier.")
    return model.to(memory_format=torch.channels_last)
