"""Checkpoints: a safetensors file whose header says all that is needed to use the weights, and how they were made.

Nothing is ever unpickled: a pickle can run any code when it is read. The file's header holds one entry, ``rrgbench``,
the JSON of a ``Card``; the tensors are the state of the timm model that the card names. The same card and tensors give
the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator, with_config
from typing_extensions import TypedDict  # pydantic's own; typing's lacks what it needs on Python 3.11

from rrgbench.errors import UsageError
from rrgbench.normalisation import PresetName
from rrgbench_timm import tensor_file

State = tensor_file.Tensors
_KEY = "rrgbench"
_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")  # torch.save's zip, and bare pickles
_MAKE_ONE = "Make one with `rrgbench train`, or leave checkpoint out to use the shipped weights."
_START = "To start a training from its weights, give checkpoint=none and start=FILE."

Probability = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Terms = Literal["open", "unknown", "private", "credentialed"]  # from the loosest to the strictest
Line = Annotated[list[FiniteFloat], Field(min_length=2, max_length=2)]


@with_config(ConfigDict(extra="allow", strict=True))
class Training(TypedDict):
    """The manifest of a training: what it started from, how and on what it was done, and what it reached.

    ``provenance`` is what the caller said (dataset, its digest, terms, the whole command); ``recipe`` the record of
    every choice; ``started_from`` the digest of a checkpoint, or words; ``epoch`` the one that was kept; ``studies``
    and ``skipped`` are counts of each split; ``validate`` holds scores by name. More keys may follow.
    """

    provenance: dict[str, Any]
    started_from: str
    recipe: dict[str, Any]
    seed: int
    epoch: Annotated[int, Field(ge=1)]
    studies: dict[str, Count]
    skipped: dict[str, Count]
    versions: dict[str, str]
    validate: dict[str, FiniteFloat]


class Card(BaseModel):
    """What a checkpoint says of itself.

    ``thresholds``: present where the probability is at least this; None for a label that the training data never
    showed both present and absent, which is therefore not assessed. ``calibration``: of a label, the slope and the
    intercept that its logit goes through before it becomes a probability. ``model`` and ``model_args``: what
    ``models.create`` builds the network from; one of transformers (``hf:``) keeps its whole configuration there.
    ``terms``: those of the data it was trained on, the strictest where weights, or a teacher, brought some with them.
    ``normalise``: the preset (``rrgbench.normalisation``) that images are adjusted by; None where they are not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, protected_namespaces=())

    format: Literal[1]
    model: str
    model_args: dict[str, Any]
    size: Annotated[int, Field(gt=0)]
    in_chans: Literal[1, 3]
    mean: list[FiniteFloat]
    std: list[Annotated[FiniteFloat, Field(gt=0)]]
    labels: Annotated[list[str], Field(min_length=1)]
    thresholds: dict[str, Probability | None]
    training: Training
    terms: Terms
    licence: str | None
    normalise: PresetName | None = None
    calibration: dict[str, Line] | None = None

    @model_validator(mode="after")
    def _agree(self) -> Card:
        if not len(self.mean) == len(self.std) == self.in_chans:
            raise ValueError(f"mean and std must have {self.in_chans} numbers each, one a channel")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("a label stands twice")
        if set(self.thresholds) != set(self.labels):
            raise ValueError("thresholds and labels name different labels")
        if unknown := set(self.calibration or ()) - set(self.labels):
            raise ValueError(f"calibration names labels that are not there: {', '.join(sorted(unknown))}")
        hf = self.model.startswith("hf:")
        if hf and not (set(self.model_args) == {"config"} and isinstance(self.model_args["config"], dict)):
            raise ValueError("model_args of a model of transformers must hold its config and nothing else")
        return self


def strictest(terms: Iterable[str]) -> str:
    """The strictest of the terms that bind weights; open where there are none."""
    return max(terms, key=get_args(Terms).index, default="open")


def write(path: Path, card: Card, state: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write a checkpoint; a file of that name is replaced only once the new one is whole."""
    # What is left out when it is None came after the first files: without it, the bytes are still those.
    without = {name for name in ("normalise", "calibration") if getattr(card, name) is None}
    tensor_file.write(path, _KEY, card.model_dump_json(exclude=without), state)


def load(path: Path) -> tuple[Card, State]:
    """The card and the tensors of a checkpoint. Raises UsageError, which names the file, for one that can't be used."""
    if path.is_file():
        with path.open("rb") as file:
            start = file.read(4)
        if start.startswith(_PICKLES):
            raise UsageError(
                f"The checkpoint {path} is a pickle (as torch.save writes), which can run any code when it is read, so"
                f" it is not opened. Only safetensors files made by `rrgbench train` are taken. {_MAKE_ONE} {_START}"
            )
    without = "does not say which model, labels and thresholds it is for"
    return tensor_file.read(path, _KEY, Card, f"{_MAKE_ONE} {_START}", without)
