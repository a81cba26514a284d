"""For plugins: where a model lies, in a folder or in the local cache of the hub. Nothing is downloaded."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from rrgbench.cache import file_digest
from rrgbench.errors import UsageError

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
WORDS = ("vocab.txt", "tokenizer.json")


def folder(metric: str, option: str, model: str, otherwise: str) -> Path:
    """The folder of a model that is named by a folder or by its name on the hub. Raises UsageError."""
    path = Path(model).expanduser()
    if not path.is_dir():
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

        try:
            path = Path(snapshot_download(model, local_files_only=True))
        except (HFValidationError, LocalEntryNotFoundError):
            raise UsageError(
                f"The metric {metric!r} needs the model {model!r}, which is neither a folder nor in the local hub"
                f" cache. Once, with its licence in mind: hf download {model}; or {option}=FOLDER. {otherwise}"
            ) from None
    return path


@lru_cache(maxsize=8)
def revision(path: Path, names: tuple[str, ...]) -> str:
    """Which model this is: the hub's revision, or a digest of the file of one of these names; 12 hexadecimal digits."""
    if path.parent.name == "snapshots":
        return path.name[:12]
    for name in names:
        if (path / name).is_file():
            return file_digest(path / name)[:12]
    raise UsageError(f"{path}: holds no {' and no '.join(names)}.")
