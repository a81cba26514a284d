"""Checkpoints of probes: one safetensors file whose header says all that is needed to use it, and how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from rrgbench.errors import UsageError
from rrgbench_timm import tensor_file

Kind = Literal["linear", "knn", "ml-knn"]
Tensors = tensor_file.Tensors
Probability = Annotated[float, Field(ge=0, le=1)]
Above0 = Annotated[FiniteFloat, Field(gt=0)]
KEY = "rrgbench-probe"
_MAKE_ONE = "Make one with `rrgbench train --encoder 'probe:encoder=…'`."


class ProbeCard(BaseModel):
    """What a probe's checkpoint says of itself.

    ``backbone`` and ``signature``: the encoder whose features it judges. ``k``, ``temperature`` (knn) and ``smoothing``
    (ml-knn) are None where the kind has none. ``thresholds``, ``terms`` and ``licence`` as in an image model's card.

    Tensors: ``reference``, the backbone's features of a drawn image, shape (width,); of ``linear``, ``weight`` (labels,
    width) and ``bias`` (labels,); of the others, the training studies' ``features`` (studies, width) and ``targets``
    (studies, labels; 1, 0, and -1 for what is not known), so that they are data as much as weights; of ``ml-knn``,
    ``table`` (labels, greatest k + 1), too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal[1]
    kind: Kind
    backbone: str
    signature: str
    blocks: Annotated[int, Field(gt=0)]
    average: bool
    width: Annotated[int, Field(gt=0)]
    k: Annotated[int, Field(gt=0)] | None
    temperature: Above0 | None
    smoothing: Above0 | None
    labels: Annotated[list[str], Field(min_length=1)]
    thresholds: dict[str, Probability | None]
    training: dict[str, Any]
    terms: Literal["open", "private", "credentialed"]
    licence: str | None

    @model_validator(mode="after")
    def _agree(self) -> ProbeCard:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("a label stands twice")
        if set(self.thresholds) != set(self.labels):
            raise ValueError("thresholds and labels name different labels")
        given = (self.k is not None, self.temperature is not None, self.smoothing is not None)
        if given != (self.kind != "linear", self.kind == "knn", self.kind == "ml-knn"):
            raise ValueError(f"k, temperature and smoothing do not go with {self.kind}")
        return self

    def shapes(self, tensors: Mapping[str, npt.NDArray[Any]]) -> dict[str, tuple[int, ...]]:
        """The shape that each tensor must have."""
        labels, studies = len(self.labels), len(tensors.get("features", ()))
        shapes: dict[str, tuple[int, ...]] = {"reference": (self.width,)}
        if self.kind == "linear":
            return shapes | {"weight": (labels, self.width), "bias": (labels,)}
        shapes |= {"features": (studies, self.width), "targets": (studies, labels)}
        if self.kind == "ml-knn":
            table = tensors.get("table", np.empty((0, 0)))
            shapes["table"] = (labels, table.shape[-1])
        return shapes


def write(path: Path, card: ProbeCard, tensors: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write a checkpoint; a file of that name is replaced only once the new one is whole."""
    tensor_file.write(path, KEY, card.model_dump_json(), tensors)


def load(path: Path) -> tuple[ProbeCard, Tensors]:
    """The card and the tensors of a checkpoint. Raises UsageError, which names the file, for one that can't be used."""
    without = (
        "is no probe (an image model's own checkpoint goes to the encoder in it, as in"
        " probe:encoder='vit:checkpoint=FILE')"
    )
    # A label that was not learned may have no table.
    card, tensors = tensor_file.read(path, KEY, ProbeCard, _MAKE_ONE, without, may_lack=("table",))
    wanted, there = card.shapes(tensors), {name: array.shape for name, array in tensors.items()}
    if wanted != there:
        raise UsageError(f"The checkpoint {path} holds tensors of shapes {there}, not {wanted}. {_MAKE_ONE}")
    return card, tensors
