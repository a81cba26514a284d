"""The grid of a probe: its points, each trained on train and judged on validation, and the best one trained again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from rrgbench.errors import UsageError
from rrgbench.labels import snake
from rrgbench.thresholds import best_f1
from rrgbench.uncertain import Blank
from rrgbench_timm import judging, linear_probe, neighbours
from rrgbench_timm.frozen import Frozen, View
from rrgbench_timm.probe_card import Kind

Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class ProbeRecipe:
    """The grid, and how a point of it is trained. Raises UsageError for what makes no sense.

    ``kind``: ``linear``; ``knn``, the softmax-weighted share of the ``k`` nearest at ``temperature``; ``ml-knn`` with
    its ``smoothing``. Both judge each label by the nearest studies for which it is known, as the encoder's own head
    sees them.

    Linear: ``lr`` (times batch / 256), ``blocks`` and ``average`` (``frozen.View``) are the grid; blocks are 1 and 4
    where none are named, or 1 for an encoder that has no more to give. ``epochs`` and ``batch`` studies a step. The
    defaults are the benchmark's, whose data are large: on some hundreds of studies the greatest rate is the best of the
    grid, and more epochs are better.

    ``uncertain`` and ``blank`` say what labels that are uncertain or not mentioned become. ``limit`` takes the first
    studies of each split only. ``licence`` is that of the probe's weights.
    """

    kind: Kind = "linear"
    lr: list[float] = field(default_factory=lambda: [1e-3, 5e-3, 1e-2, 5e-2])
    blocks: list[int] | None = None
    average: list[bool] = field(default_factory=lambda: [False, True])
    epochs: int = 10
    batch: int = 128
    k: list[int] = field(default_factory=lambda: [5, 20, 50, 100, 200])
    temperature: float = 0.07
    smoothing: float = 1.0
    uncertain: Literal["U-Ignore", "U-Zeros", "U-Ones"] = "U-Ignore"
    blank: Blank = "ignore"
    limit: int | None = None
    seed: int = 0
    licence: str | None = None

    def __post_init__(self) -> None:
        above_0 = {name: [getattr(self, name)] for name in ("epochs", "batch", "temperature", "smoothing")}
        above_0 |= {"lr": self.lr, "k": self.k, "blocks": [1] if self.blocks is None else self.blocks}
        for name, values in {**above_0, "average": [1 for _ in self.average]}.items():
            if not values or min(values) <= 0:
                raise UsageError(f"The recipe can't have {name}={getattr(self, name)}: it is above 0, and not empty.")
        if self.limit is not None and self.limit < 2:
            raise UsageError(f"The recipe can't have limit={self.limit}: it is at least 2.")


@dataclass(frozen=True)
class Point:
    """A point of the grid, with the probabilities that it gives on validation, shape (studies, labels)."""

    view: View
    probability: npt.NDArray[np.float64]
    lr: float | None = None
    k: int | None = None


def points(recipe: ProbeRecipe, data: Frozen, views: Sequence[View], device: torch.device) -> Iterator[Point]:
    """Every point of the grid, trained on train, in the order of its options."""
    known = data.targets[data.rows["train"]]
    for view in views:
        learn, check = data.of(view, "train"), data.of(view, "validate")
        if recipe.kind == "linear":
            for lr, head in zip(recipe.lr, _heads(recipe, recipe.lr, learn, known, device), strict=True):
                yield Point(view, linear_probe.probabilities(head, check), lr=lr)
        elif recipe.kind == "knn":
            shares = neighbours.shares(check, learn, known, recipe.k, recipe.temperature, device=device)
            for number, k in enumerate(recipe.k):
                yield Point(view, shares[..., number], k=k)
        else:
            usable = neighbours.usable(known, recipe.k)
            own = neighbours.counts(learn, learn, known, recipe.k, itself=True, device=device)
            positive = neighbours.counts(check, learn, known, recipe.k, device=device)
            for number, k in enumerate(recipe.k):
                table = neighbours.ml_knn(own[..., number], known, usable[:, number], recipe.smoothing)
                yield Point(view, neighbours.looked_up(table, positive[..., number]), k=k)


def refit(recipe: ProbeRecipe, best: Point, data: Frozen, device: torch.device) -> dict[str, Array]:
    """The tensors of a checkpoint (``probe_card``): the point, trained on train and validation together."""
    features = data.of(best.view)
    if best.lr is not None:
        (head,) = _heads(recipe, [best.lr], features, data.targets, device)
        return head._asdict()
    assert best.k is not None
    tensors: dict[str, Array] = {"features": np.array(features), "targets": encoded(data.targets)}
    if recipe.kind == "ml-knn":
        own = neighbours.counts(features, features, data.targets, [best.k], itself=True, device=device)[..., 0]
        usable = neighbours.usable(data.targets, [best.k])[:, 0]
        tensors["table"] = neighbours.ml_knn(own, data.targets, usable, recipe.smoothing)
    return tensors


def encoded(targets: npt.NDArray[np.float32]) -> npt.NDArray[np.int8]:
    """Targets as they are stored: -1 for what is not known."""
    return np.where(np.isnan(targets), -1, targets).astype(np.int8)


def decoded(targets: npt.NDArray[np.int8]) -> npt.NDArray[np.float32]:
    """Stored targets, NaN for what is not known."""
    return np.where(targets < 0, np.nan, targets).astype(np.float32)


def figures(point: Point, labels: Sequence[str], truth: Array, judged: npt.NDArray[np.bool_]) -> dict[str, float]:
    """The point's options, and its AUROC on validation: macro, and of each label that has both classes."""
    row: dict[str, float] = {"blocks": point.view.blocks, "average": float(point.view.average)}
    row |= {name: value for name, value in (("lr", point.lr), ("k", point.k)) if value is not None}
    areas = judging.aurocs(truth, point.probability)
    areas[~np.isfinite(point.probability).all(axis=0)] = np.nan  # a training that diverged
    of_label = {f"auroc_{snake(label)}": float(areas[i]) for i, label in enumerate(labels) if judged[i]}
    return row | {"auroc_macro": float(np.mean(list(of_label.values()))), **of_label}


def thresholds_and_f1(
    point: Point, labels: Sequence[str], truth: Array, learned: npt.NDArray[np.bool_]
) -> tuple[dict[str, float | None], dict[str, float]]:
    """Each label's threshold of the best F1, and that F1.

    None for a label that was not learned; .5, without an F1, for one that validation never shows present.
    """
    thresholds: dict[str, float | None] = dict.fromkeys(labels)
    f1: dict[str, float] = {}
    for i in np.flatnonzero(learned).tolist():
        known = ~np.isnan(truth[:, i])
        positive, p = truth[known, i] == 1, point.probability[known, i]
        thresholds[labels[i]] = threshold = best_f1(positive, p) if positive.any() else 0.5
        if positive.any():
            called = p >= threshold
            f1[f"f1_{snake(labels[i])}"] = float(2 * (positive & called).sum() / (positive.sum() + called.sum()))
    return thresholds, {"f1_macro": float(np.mean(list(f1.values()))), **f1}


def _heads(
    recipe: ProbeRecipe, rates: Sequence[float], features: Array, targets: Array, device: torch.device
) -> list[linear_probe.Head]:
    return linear_probe.train(
        features, targets, rates, epochs=recipe.epochs, batch=recipe.batch, seed=recipe.seed, device=device
    )
