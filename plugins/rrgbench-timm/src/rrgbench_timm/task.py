"""What a training is to do, and how far it has come."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rrgbench_timm.data import Split
from rrgbench_timm.networks import Scale
from rrgbench_timm.processes import Processes
from rrgbench_timm.recipe import Recipe

Log = Callable[[dict[str, Any]], None]

STATE = "resume.safetensors"


@dataclass
class Standing:
    """How far a training has come: all of its state that is no tensor.

    ``step`` counts the steps of this epoch, and ``loss`` is the sum of theirs. ``passes`` is into how many each is
    parted. ``unreadable`` holds by split the rows that could not be read, and why.
    """

    passes: int
    epoch: int = 1
    step: int = 0
    loss: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_score: float = -math.inf
    plateau: dict[str, float | int | None] = field(default_factory=dict)
    unreadable: dict[str, list[tuple[int, str]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """What is learned, from what, how. ``judged`` are the labels whose AUROC on ``validate`` chooses the epoch.

    ``digest`` is one of all that the training hangs on: only a state of the same training is gone on from.
    """

    learn: Split
    validate: Split
    labels: tuple[str, ...]
    judged: npt.NDArray[np.bool_]
    scale: Scale
    recipe: Recipe
    seed: int
    digest: str
    folder: Path
    processes: Processes
    log: Log

    @property
    def batch(self) -> int:
        """Studies a step, of all processes together."""
        return min(self.recipe.batch, len(self.learn.pictures))

    @property
    def steps(self) -> int:
        """Steps an epoch; the studies that are left over are in another epoch's."""
        return len(self.learn.pictures) // self.batch
