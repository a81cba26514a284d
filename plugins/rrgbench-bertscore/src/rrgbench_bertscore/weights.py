"""Where a model's files are on this machine, and their digest. Nothing is ever downloaded."""

from __future__ import annotations

import hashlib
from pathlib import Path

from huggingface_hub import try_to_load_from_cache

from rrgbench.cache import file_digest
from rrgbench.errors import UsageError


def locate(model: str, folder: Path | None) -> Path:
    """The folder with the model's config.json and weights. Raises UsageError that says how to get them."""
    if folder is not None:
        found: Path | None = folder.absolute()
    else:
        config = try_to_load_from_cache(model, "config.json")
        found = Path(config).parent if isinstance(config, str) else None
    if found is None or not (found / "config.json").is_file() or not files(found):
        where = f"the folder {folder} has no config.json or no weights" if folder else "the hub's cache lacks them"
        raise UsageError(
            f"The metric 'bertscore' needs the weights of {model}, and {where}: get them once with "
            f"`hf download {model}`, or name a folder that holds them with bertscore:folder=…."
        )
    return found


def files(folder: Path) -> list[Path]:
    """The weights in a folder, by name."""
    return sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))


def digest(folder: Path) -> str:
    """Twelve digits of the SHA-256 of the weights."""
    digests = [file_digest(file) for file in files(folder)]
    return (digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest())[:12]
