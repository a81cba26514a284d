"""What a network says of a split and how good that is: logits, AUROCs, calibrated probabilities, thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from rrgbench import calibration, thresholds
from rrgbench.labels import snake
from rrgbench.stats import auroc
from rrgbench_timm import losses, predicting
from rrgbench_timm.data import Split, Target, chunks
from rrgbench_timm.networks import Scale
from rrgbench_timm.processes import Processes
from rrgbench_timm.recipe import Recipe

Array = npt.NDArray[np.float64]
_AT_ONCE = {"cuda": 256}  # pictures; fewer elsewhere, where more are no faster


@dataclass(frozen=True)
class Judged:
    """The threshold and the calibration (slope, intercept) of each label, and the scores that they give on validation.

    A threshold is None for a label that was not learned, and .5 for one that validation never shows present.
    """

    thresholds: dict[str, float | None]
    calibration: dict[str, list[float]] | None
    scores: dict[str, float]


def predict(
    model: torch.nn.Module,
    split: Split,
    scale: Scale,
    labels: int,
    processes: Processes,
    precision: predicting.Precision = "fp32",
) -> Array:
    """The logit of each label being present, shape (studies, labels); each process predicts its part of the studies."""
    network = predicting.network(model, *scale, precision=precision)

    def forward(grey: torch.Tensor) -> torch.Tensor:
        return losses.binary_logits(network(grey), labels)

    out = np.zeros((len(split.pictures), labels))
    mine = processes.mine(np.arange(len(split.pictures)))
    for rows, grey, _ in split.pictures.batches(chunks(mine, _AT_ONCE.get(processes.device.type, 64))):
        out[rows] = predicting.logits(forward, grey, device=processes.device, batch=len(grey))
    return processes.summed(torch.from_numpy(out)).cpu().numpy()


def varied(target: Target) -> npt.NDArray[np.bool_]:
    """The labels that can be learned, whose known targets differ, shape (labels,). 2, uncertain, is not known."""
    known = np.where(target == 2, np.nan, target)
    return np.array([len(np.unique(column[~np.isnan(column)])) > 1 for column in known.T])


def aurocs(target: Target, score: Array) -> Array:
    """AUROC of each label over the studies where it is known, shape (labels,); NaN where one class is missing."""
    known = ~np.isnan(target)
    return np.array([auroc(target[known[:, i], i] == 1, score[known[:, i], i]).item() for i in range(target.shape[1])])


def judge(
    labels: Sequence[str], learned: npt.NDArray[np.bool_], target: Target, logits: Array, recipe: Recipe
) -> Judged:
    """Calibrate and choose thresholds on validation, of ``target`` and ``logits`` of shape (studies, labels)."""
    lines = _calibration(learned, target, logits, recipe)
    chosen: dict[str, float | None] = dict.fromkeys(labels)
    scores: dict[str, float] = {}
    for i, label in enumerate(labels):
        if not learned[i]:
            continue
        known = ~np.isnan(target[:, i])
        truth, p = target[known, i] == 1, calibration.apply(logits[known, i], *lines[i])
        there = thresholds.chosen(recipe.thresholds, truth, p, recipe.recall) if truth.any() else 0.5
        chosen[label] = there
        if truth.any() and not truth.all():
            called = p >= there
            scores[f"auroc_{snake(label)}"] = auroc(truth, p).item()
            scores[f"f1_{snake(label)}"] = float(2 * (truth & called).sum() / (truth.sum() + called.sum()))
    for kind in ("auroc", "f1"):
        values = [value for name, value in scores.items() if name.startswith(f"{kind}_")]
        scores[f"{kind}_macro"] = float(np.mean(values))
    of_learned = {label: list(line) for label, line, known in zip(labels, lines, learned, strict=True) if known}
    return Judged(chosen, None if recipe.calibrate == "none" else of_learned, scores)


def _calibration(
    learned: npt.NDArray[np.bool_], target: Target, logits: Array, recipe: Recipe
) -> list[tuple[float, float]]:
    """The slope and intercept of each label's logit."""
    if recipe.calibrate == "platt":
        return [calibration.platt(target[:, i], logits[:, i]) for i in range(target.shape[1])]
    if recipe.calibrate == "temperature":
        return [(1 / calibration.temperature(target[:, learned], logits[:, learned]), 0.0)] * target.shape[1]
    return [(1.0, 0.0)] * target.shape[1]
