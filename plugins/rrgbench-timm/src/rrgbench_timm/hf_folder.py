"""What a folder, or a repository of the hub, says of a vision transformer of transformers: its facts, its weights.

Code that a repository brings is never run, and nothing is unpickled: of config.json only the facts that describe a
network of a known kind are taken, and weights come from safetensors only.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from rrgbench import torchvision_ops
from rrgbench.errors import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

PREFIX = "hf:"
_CONFIG, _PROCESSOR, _WEIGHTS = "config.json", "preprocessor_config.json", "model.safetensors"
# The kinds of network that can be used, by config.json's model_type, and the name of the norm after their blocks.
NORMS = {
    "clip_vision_model": "post_layernorm",
    "dinov2": "layernorm",
    "dinov2_with_registers": "layernorm",
    "dinov3_vit": "norm",
    "siglip_vision_model": "post_layernorm",
    "vit": "layernorm",
}
_TOWERS = {"clip": "clip_vision_model", "siglip": "siglip_vision_model"}  # those that hold another kind as their vision
UNUSED = re.compile(r"(^|\.)(mask_token|pooler\..*)$")  # parameters that no classifier uses
_OTHERS = re.compile(r"(text_model\.|logit_|text_projection|visual_projection)|.*pooler\.dense\.")  # CLIP's and ViT's


def default_size(name: str) -> int:
    """The image size, in pixels, that the weights were made for: the image processor's or, without one, the model's."""
    processor = _json(folder(name, [_CONFIG, _PROCESSOR]) / _PROCESSOR, optional=True)
    size = processor.get("crop_size" if processor.get("do_center_crop") else "size") or facts_of(name)["image_size"]
    if isinstance(size, dict):
        size = size.get("shortest_edge", size.get("height"))
    if not isinstance(size, int):
        raise UsageError(f"The size of the images of {name} can't be read from its {_PROCESSOR}: {size}. Give size=.")
    return size


def normalisation(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The mean and the standard deviation of each channel that the weights were trained with."""
    processor = _json(folder(name, [_CONFIG, _PROCESSOR]) / _PROCESSOR, optional=True)
    try:
        mean, std = (tuple(float(number) for number in processor[key]) for key in ("image_mean", "image_std"))
    except (KeyError, TypeError, ValueError):
        raise UsageError(
            f"{name} has no {_PROCESSOR} with an image_mean and an image_std, so how its pixels were scaled is not"
            " known. Choose normalise=imagenet or another preset."
        ) from None
    return mean, std


def needs_transformers() -> None:
    """Raise UsageError, which says how to get it, where transformers is not installed."""
    torchvision_ops.declare_missing()
    try:
        import transformers  # noqa: F401
    except ImportError:
        raise UsageError("A model hf:... needs the package transformers: pip install 'rrgbench-timm[hf]'.") from None


def folder(name: str, files: list[str]) -> Path:
    """The folder that holds these files of a model, which may be the hub's cache. Raises UsageError."""
    where = name.removeprefix(PREFIX)
    path = Path(where).expanduser()
    if path.is_dir():
        return path
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(snapshot_download(where, allow_patterns=files))
    except (HFValidationError, OSError, ValueError) as error:  # not in the cache and offline, gated, no such repository
        raise UsageError(
            f"The model {name} is no folder, and not in the local hub cache or to be had from the hub"
            f" ({type(error).__name__}). Once, online and with its licence in mind: hf download {where}; or give"
            f" {PREFIX}FOLDER, a folder with {_CONFIG} and {_WEIGHTS}."
        ) from error


def _json(path: Path, optional: bool = False) -> dict[str, Any]:
    if optional and not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} can't be read as JSON: {error}.") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path} holds no JSON object.")
    return content


def facts_of(name: str) -> dict[str, Any]:
    """What a model's config.json says of the network: its kind and what that kind's class of transformers defines."""
    content = _json(folder(name, [_CONFIG, _PROCESSOR]) / _CONFIG)
    if tower := _TOWERS.get(str(content.get("model_type"))):
        content = {**content.get("vision_config", {}), "model_type": tower}
    known = _fields(name, str(content.get("model_type")))
    config = config_of(name, {key: value for key, value in content.items() if key in known})
    return {key: value for key, value in config.to_dict().items() if key in known}


def _fields(name: str, kind: str) -> set[str]:
    """The facts that make a network of a kind: not those of any model, some of which name code or other files."""
    needs_transformers()
    from transformers import CONFIG_MAPPING, PreTrainedConfig

    if kind not in NORMS or kind not in CONFIG_MAPPING:
        can = ", ".join(sorted({*NORMS, *_TOWERS} & set(CONFIG_MAPPING)))
        raise UsageError(f"The model {name} is of the kind {kind!r}, which is none of these: {can}.")
    classes = [one for one in CONFIG_MAPPING[kind].__mro__ if one not in PreTrainedConfig.__mro__]
    own = {field for one in classes for field in inspect.get_annotations(one)}
    return {"model_type", *(field for field in own if not field.startswith("_"))}


def config_of(name: str, facts: Mapping[str, Any]) -> PreTrainedConfig:
    """The configuration that ``facts_of`` or a checkpoint describes. Raises UsageError for facts that are no such."""
    kind = str(facts.get("model_type"))
    if unknown := set(facts) - _fields(name, kind):
        raise UsageError(f"The config of {name} can't hold {', '.join(sorted(unknown))}.")
    from huggingface_hub.errors import StrictDataclassError
    from transformers import CONFIG_MAPPING

    try:
        config: Any = CONFIG_MAPPING[kind](**{key: value for key, value in facts.items() if key != "model_type"})
    except (TypeError, ValueError, StrictDataclassError) as error:
        raise UsageError(f"The config of {name} is wrong: {' '.join(str(error).split())[:300]}") from error
    sizes = (config.image_size, config.patch_size)
    if any(isinstance(size, int) and size < 1 for size in sizes):
        raise UsageError(f"The config of {name} is wrong: images of {sizes[0]} px in patches of {sizes[1]} px.")
    if not all(isinstance(size, int) for size in sizes):
        raise UsageError(f"The config of {name} is of images or patches that are not square, which can't be used here.")
    return config  # type: ignore[no-any-return]


def weighted(name: str, config: PreTrainedConfig, pretrained: bool) -> nn.Module:
    """The network of a configuration, with the weights of the folder or the hub, or random ones. Raises UsageError."""
    from transformers import MODEL_MAPPING

    made: Any = MODEL_MAPPING[type(config)]
    extra = {"add_pooling_layer": False} if config.model_type == "vit" else {}
    if not pretrained:
        try:
            return made(config, **extra)  # type: ignore[no-any-return]
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:  # a config that lies
            reason = " ".join(str(error).split())[:300]
            raise UsageError(f"The config of {name} makes no network: {type(error).__name__}: {reason}") from error
    tensors = {key: value for key, value in _tensors(name).items() if not _OTHERS.match(key)}
    try:
        with quiet():
            model, info = made.from_pretrained(
                None, config=config, state_dict=tensors, dtype=torch.float32, output_loading_info=True, **extra
            )
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UsageError(f"The weights of {name} don't fit its {_CONFIG}: {reason}") from error
    if missing := sorted(key for key in info["missing_keys"] if not UNUSED.search(key)):
        raise UsageError(f"The weights of {name} lack {len(missing)} tensors of the network, first {missing[0]}.")
    return model  # type: ignore[no-any-return]


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bar of transformers' and no table of names: what matters of it is said in an error."""
    from transformers.utils import logging as untyped

    logging: Any = untyped
    level, shown = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()


def _tensors(name: str) -> dict[str, torch.Tensor]:
    index = f"{_WEIGHTS}.index.json"
    place = folder(name, [_CONFIG, _PROCESSOR, index, "model*.safetensors"])
    files = [_WEIGHTS]
    if (place / index).is_file():
        files = sorted({Path(str(file)).name for file in _json(place / index).get("weight_map", {}).values()})
    if not (place / files[0]).is_file():
        pickled = " Its pytorch_model.bin is a pickle, which is not opened." * (place / "pytorch_model.bin").is_file()
        raise UsageError(f"The model {name} has no {files[0]}.{pickled} Weights are read from safetensors only.")
    tensors = {}
    for file in files:
        try:
            with safe_open(place / file, framework="pt") as opened:
                tensors.update({key: opened.get_tensor(key) for key in opened.keys()})  # noqa: SIM118  (no mapping)
        except (SafetensorError, OSError) as error:
            raise UsageError(f"{place / file} is no whole safetensors file: {error}.") from error
    if bad := next((k for k, t in tensors.items() if t.is_floating_point() and not t.isfinite().all()), None):
        raise UsageError(f"The weights of {name} hold NaN or infinite numbers, first in {bad!r}.")
    return tensors
