"""Tensors and a validated header in one safetensors file: how every checkpoint is kept. Nothing is ever unpickled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from rrgbench.errors import UsageError

Tensors = dict[str, npt.NDArray[Any]]
Header = TypeVar("Header", bound=BaseModel)


def write(path: Path, key: str, header: str, tensors: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write a file whose header holds one entry, the JSON of a card; the one that was there goes once this is whole."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(save(dict(tensors), {key: header}))
    part.replace(path)


def read(
    path: Path, key: str, card: type[Header], otherwise: str, without: str, may_lack: tuple[str, ...] = ()
) -> tuple[Header, Tensors]:
    """The card and the tensors of a file.

    Raises UsageError, which names the file and ends with ``otherwise``, for one that is not whole, has a header that
    the card refuses, or holds numbers that are none (but in the tensors ``may_lack``); ``without`` says what it means
    that the header has no such entry.
    """
    if not path.is_file():
        raise UsageError(f"The checkpoint {path} is not there. {otherwise}")
    try:
        with safe_open(path, framework="np") as opened:
            metadata = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  (it is no mapping)
    except (SafetensorError, OSError, TypeError) as error:
        raise UsageError(f"The checkpoint {path} is no whole safetensors file: {error}. {otherwise}") from error
    if key not in metadata:
        raise UsageError(f"The checkpoint {path} {without}: its header has no entry {key!r}. {otherwise}")
    try:
        header = card.model_validate_json(metadata[key])
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{piece}: " for piece in first["loc"])
        raise UsageError(f"The header of the checkpoint {path} is wrong: {where}{first['msg']}. {otherwise}") from error
    for name, array in tensors.items():
        is_number = not np.issubdtype(array.dtype, np.floating) or np.isfinite(array).all()
        if name not in may_lack and not is_number:
            raise UsageError(f"The checkpoint {path} holds NaN or infinite numbers, first in {name!r}. {otherwise}")
    return header, tensors
