"""Entities and embeddings made elsewhere. Nothing is unpickled."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rrgbench import tables
from rrgbench.errors import UsageError, did_you_mean
from rrgbench_ratescore.arithmetic import Entity
from rrgbench_ratescore.weights import TYPES


def entities(path: Path) -> dict[str, list[Entity]]:
    """The entities of each study, from JSON: study_id to a list of [text, type]. Raises UsageError."""
    out = {}
    for study_id, pairs in tables.read_mapping(path).items():
        if not (isinstance(pairs, list) and all(_is_pair(pair) for pair in pairs)):
            raise UsageError(f'{path}, {study_id!r}: must be a list of [text, type], as in [["effusion", "DISEASE"]].')
        out[study_id] = [Entity(text, kind.upper()) for text, kind in pairs]
        if unknown := [kind for _, kind in out[study_id] if kind not in TYPES]:
            raise UsageError(
                f"{path}, {study_id!r}: there is no type {unknown[0]!r}.{did_you_mean(unknown[0], TYPES)}"
                f" There are: {', '.join(TYPES)}."
            )
    return out


def embeddings(path: Path) -> dict[str, npt.NDArray[np.float64]]:
    """The vector of each entity's text. Raises UsageError.

    A .json file maps text to a list of numbers; a .npz file holds ``texts`` (n strings) and ``vectors`` of shape
    (n, dimensions).
    """
    texts, vectors = _npz(path) if path.suffix == ".npz" else _json(path)
    try:
        matrix = np.asarray(vectors, dtype=float)
    except (TypeError, ValueError):
        raise UsageError(f"{path}: the vectors must be numbers, as many for each text.") from None
    if matrix.ndim != 2 or len(matrix) != len(texts) or not matrix.shape[1]:
        raise UsageError(f"{path}: the vectors must be numbers, as many for each text.")
    if not np.isfinite(matrix).all():
        raise UsageError(
            f"{path}: vector {int(np.isfinite(matrix).all(axis=1).argmin()) + 1} has a value that is no number."
        )
    return dict(zip(texts, matrix, strict=True))


def _json(path: Path) -> tuple[list[str], Any]:
    table = tables.read_mapping(path)
    return list(table), list(table.values())


def _npz(path: Path) -> tuple[list[str], Any]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            texts, vectors = arrays["texts"], arrays["vectors"]
    except FileNotFoundError:
        raise UsageError(f"{path}: there is no such file.") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path}: must be a .npz with the arrays 'texts' and 'vectors' ({error}).") from None
    if texts.ndim != 1 or texts.dtype.kind != "U":
        raise UsageError(f"{path}: the array 'texts' must be a list of strings.")
    return texts.tolist(), vectors


def _is_pair(pair: object) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and all(isinstance(each, str) for each in pair)
