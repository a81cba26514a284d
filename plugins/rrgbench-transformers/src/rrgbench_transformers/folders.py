"""Where a language model lies, whether all of it is there, and which one it is.

Code that a repository brings is never run and nothing is unpickled: weights come from safetensors only.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from rrgbench.cache import digest, file_digest
from rrgbench.errors import UsageError

_CONFIG, _WEIGHTS = "config.json", "model.safetensors"
_INDEX = f"{_WEIGHTS}.index.json"
_SMALL = ("*.json", "*.jinja", "*.model", "*.txt")  # the config, the tokenizer, the chat template


def find(model: Path) -> Path:
    """The folder of a model that is named by a folder or by its name on the hub. Raises UsageError.

    The hub is asked only for what its local cache doesn't hold, and not where HF_HUB_OFFLINE is set.
    """
    if model.is_dir():
        if lacking := _lacking(model):
            raise UsageError(f"The model {model} {lacking}")
        return model
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    name, why = model.as_posix(), ""
    for cached in (True, False):
        try:
            found = snapshot_download(name, allow_patterns=[*_SMALL, "model*.safetensors"], local_files_only=cached)
        except (HFValidationError, OSError, ValueError) as error:  # not in the cache, offline, gated, unknown
            why = why or f"({type(error).__name__})."
            continue
        if not (lacking := _lacking(Path(found))):
            return Path(found)
        why = f"whole: it {lacking}"
    raise UsageError(
        f"The model {name!r} is no folder, and not in the local hub cache or to be had from the hub {why} Once, online"
        f" and with its licence in mind: hf download {name}; or give model=FOLDER, a folder with {_CONFIG}, a tokenizer"
        f" and {_WEIGHTS}."
    )


def identity(folder: Path) -> str:
    """Which model this is: the hub's revision, or a digest of the files that decide; 12 hexadecimal digits."""
    if folder.parent.name == "snapshots":
        return folder.name[:12]
    files = {file for pattern in _SMALL for file in folder.glob(pattern)} | {folder / name for name in _weights(folder)}
    stats = {file: file.stat() for file in sorted(files)}
    return digest([(f.name, _sha256(f, s.st_size, s.st_mtime_ns)) for f, s in stats.items()])[:12]


@cache
def _sha256(file: Path, size: int, modified: int) -> str:
    return file_digest(file)


def _lacking(folder: Path) -> str:
    """What is wrong with a folder, in words; nothing where it holds a whole model."""
    if (folder / "adapter_config.json").is_file():
        return "holds an adapter (adapter_config.json): merge it into its model, and give the folder of the result."
    if not (folder / _CONFIG).is_file():
        return f"has no {_CONFIG}."
    pickled = " Its pytorch_model*.bin is a pickle, which is not opened." * any(folder.glob("pytorch_model*.bin"))
    if missing := [name for name in _weights(folder) if not (folder / name).is_file()]:
        return f"has no {missing[0]}.{pickled} Weights are read from safetensors only."
    return ""


def _weights(folder: Path) -> list[str]:
    """The files that its weights are in: one, or those that the index names."""
    if (folder / _WEIGHTS).is_file() or not (folder / _INDEX).is_file():
        return [_WEIGHTS]
    try:
        names = json.loads((folder / _INDEX).read_text(encoding="utf-8"))["weight_map"].values()
        return sorted({Path(str(name)).name for name in names})
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise UsageError(f"{folder / _INDEX} is no index of weights: {type(error).__name__}: {error}.") from error
