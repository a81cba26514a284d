"""The training loop: masked binary cross-entropy, AdamW, warm-up and cosine, the best epoch by validation AUROC."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from rrgbench.errors import ImageError, RunError, UsageError
from rrgbench.labels import snake, translate
from rrgbench.normalisation import Adjust, unchanged
from rrgbench.stats import auroc
from rrgbench.types import Status, Study, Vocabulary
from rrgbench_timm import pixels

Log = Callable[[dict[str, Any]], None]
_TARGET = {Status.PRESENT: 1.0, Status.ABSENT: 0.0}


@dataclass(frozen=True)
class Recipe:
    """How to train. ``warmup`` is in epochs; ``lr`` is the peak, reached at its end; the cosine ends at 0."""

    epochs: int
    batch: int
    lr: float
    weight_decay: float
    warmup: float
    augment: bool
    precision: Literal["fp16", "fp32"]

    def __post_init__(self) -> None:
        wrong = [
            *(name for name in ("epochs", "lr") if getattr(self, name) <= 0),
            *(name for name in ("weight_decay", "warmup") if getattr(self, name) < 0),
        ]
        if self.batch < 2:  # batch normalisation needs two
            wrong.append("batch")
        if wrong:
            raise UsageError(
                f"The recipe can't have {wrong[0]}={getattr(self, wrong[0])}: epochs and lr are above 0, weight_decay"
                " and warmup at least 0, batch at least 2."
            )


@dataclass(frozen=True)
class Labelled:
    """Pictures with targets.

    ``grey``: uint8, shape (studies, size, size). ``target``: float32, shape (studies, labels), 1 present, 0 absent,
    NaN what is not known (uncertain, not mentioned, not assessed), which is not learned from. ``skipped``: why each
    other study could not be used.
    """

    grey: npt.NDArray[np.uint8]
    target: npt.NDArray[np.float32]
    skipped: tuple[str, ...]


@dataclass(frozen=True)
class Normalisation:
    """The mean and the standard deviation that pictures are scaled by, one number a channel of the network."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Fitted:
    """What training gave: the best epoch's weights (rounded as they are stored), and all epochs' figures."""

    state: dict[str, npt.NDArray[Any]]
    epoch: int
    history: list[dict[str, float]]


def gather(
    studies: Iterable[Study],
    size: int,
    vocabulary: Vocabulary,
    split: str,
    limit: int | None,
    adjust: Adjust = unchanged,
) -> Labelled:
    """Read the frontal image of each study once, and its labels. Raises UsageError where none can be used."""
    grey, targets, skipped = [], [], []
    for study in islice(studies, limit):
        image = pixels.frontal(study.images)
        target = _target(study, vocabulary)
        if image is None or np.isnan(target).all():
            skipped.append(f"{study.study_id}: it has no {'image' if image is None else 'label that is known'}")
            continue
        try:
            grey.append(pixels.read(image, size, adjust))
        except ImageError as error:
            skipped.append(f"{study.study_id}: {error}")
            continue
        targets.append(target)
    if len(grey) < 2:
        first = f" The first that was skipped: {skipped[0]}." if skipped else ""
        raise UsageError(f"The {split} split has {len(grey)} studies to learn from; at least 2 are needed.{first}")
    return Labelled(np.stack(grey), np.stack(targets), tuple(skipped))


def _target(study: Study, vocabulary: Vocabulary) -> npt.NDArray[np.float32]:
    out = np.full(len(vocabulary), np.nan, dtype=np.float32)
    if study.labels is not None:
        known = translate(study.labels, vocabulary)
        for column, label in enumerate(vocabulary.labels):
            out[column] = _TARGET.get(known.status(label), np.nan)
    return out


def both_seen(target: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """The labels that stand both present and absent in the targets, shape (labels,)."""
    return (target == 1).any(axis=0) & (target == 0).any(axis=0)


def aurocs(target: npt.NDArray[np.float32], probability: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """AUROC of each label over the studies where it is known, shape (labels,); NaN where one class is missing."""
    known = ~np.isnan(target)
    return np.array(
        [auroc(target[known[:, i], i] == 1, probability[known[:, i], i]).item() for i in range(target.shape[1])]
    )


def predict(
    model: torch.nn.Module, grey: npt.NDArray[np.uint8], scale: Normalisation, device: torch.device, batch: int
) -> npt.NDArray[np.float64]:
    """The probability of each label, shape (studies, labels). A study's do not depend on the others of its batch."""
    model.eval()
    out = []
    with torch.inference_mode():
        for start in range(0, len(grey), batch):
            x = _to_device(grey[start : start + batch], device)
            out.append(torch.sigmoid(model(pixels.as_input(x, scale.mean, scale.std)).float()).cpu().numpy())
    return np.concatenate(out).astype(np.float64)


def augmented(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Grey pictures (batch, 1, size, size) in 0..1, each turned, moved, scaled and exposed a little differently.

    Up to 8 degrees, 6 % of the width, 10 % of the size, 20 % of the contrast and .1 of brightness, with noise of up to
    .03. Never mirrored: the heart is on the left, and a finding has a side.
    """
    n = len(x)

    def uniform(low: float, high: float) -> torch.Tensor:
        return (torch.rand(n, generator=generator) * (high - low) + low).to(x.device)

    angle, zoom = uniform(-math.radians(8), math.radians(8)), uniform(0.9, 1.1)
    cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
    across, down = uniform(-0.12, 0.12), uniform(-0.12, 0.12)  # in half widths, as affine_grid counts
    affine = torch.stack([torch.stack([cos, -sin, across], 1), torch.stack([sin, cos, down], 1)], 1)
    moved = F.grid_sample(x, F.affine_grid(affine, list(x.shape), align_corners=False), align_corners=False)
    contrast, brightness, grain = (
        uniform(low, high).view(n, 1, 1, 1) for low, high in ((0.8, 1.2), (-0.1, 0.1), (0.0, 0.03))
    )
    noise = torch.randn(x.shape, generator=generator).to(x.device)
    return ((moved - 0.5) * contrast + 0.5 + brightness + grain * noise).clamp(0, 1)


def train(
    model: torch.nn.Module,
    learn: Labelled,
    validate: Labelled,
    scale: Normalisation,
    labels: Sequence[str],
    recipe: Recipe,
    *,
    device: torch.device,
    seed: int,
    log: Log,
) -> Fitted:
    """Train ``model`` in place; it ends with the best epoch's weights, rounded to the precision that is stored.

    The same seed, data and machine give the same weights (a GPU's sums may differ in the last digits).
    Raises RunError if the loss stops being a number.
    """
    judged = both_seen(learn.target) & both_seen(validate.target)
    if not judged.any():
        raise UsageError(
            "No label stands both present and absent in both splits, train and validate: nothing to learn."
        )
    model.to(device)
    n = len(learn.grey)
    batch = min(recipe.batch, n)
    steps = n // batch  # what is left over is in another epoch's batches
    optimiser = torch.optim.AdamW(_weight_decay_groups(model, recipe.weight_decay), lr=recipe.lr)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _warm_up_then_cosine(recipe, steps))
    generator = torch.Generator().manual_seed(seed)
    target = torch.from_numpy(learn.target)
    history: list[dict[str, float]] = []
    best: dict[str, torch.Tensor] = {}
    best_epoch, best_score = 0, -math.inf
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # for dropout and the like
        for epoch in range(1, recipe.epochs + 1):
            started = time.perf_counter()
            model.train()
            order = torch.randperm(n, generator=generator)
            total = 0.0
            for step in range(steps):
                rows = order[step * batch : (step + 1) * batch]
                x = _to_device(learn.grey[rows.numpy()], device)
                if recipe.augment:
                    x = augmented(x, generator)
                loss = masked_loss(model(pixels.as_input(x, scale.mean, scale.std)).float(), target[rows].to(device))
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimiser.step()
                schedule.step()
                total += loss.item()
            if not math.isfinite(total):
                raise RunError(f"Training diverged in epoch {epoch}: the loss is {total / steps}. Try a smaller lr.")
            probability = predict(model, validate.grey, scale, device, 2 * batch)
            of_label = aurocs(validate.target, probability)
            row = {
                "epoch": epoch,
                "train_loss": total / steps,
                "auroc_macro": float(of_label[judged].mean()),
                **{f"auroc_{snake(label)}": float(of_label[i]) for i, label in enumerate(labels) if judged[i]},
                "seconds": time.perf_counter() - started,
            }
            history.append(row)
            log({"stage": "epoch", "epochs": recipe.epochs, **row})
            if row["auroc_macro"] > best_score:
                best_epoch, best_score = epoch, row["auroc_macro"]
                best = copy.deepcopy(model.state_dict())
    state = {name: _stored(tensor, recipe.precision) for name, tensor in best.items()}
    set_state(model, state)
    return Fitted(state, best_epoch, history)


def set_state(model: torch.nn.Module, state: Mapping[str, npt.NDArray[Any]]) -> None:
    """Give a model stored weights; raises RuntimeError where names or shapes differ."""
    model.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()}, strict=True)


def masked_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean binary cross-entropy over what is known; targets that are NaN count for nothing."""
    known = ~torch.isnan(target)
    loss = F.binary_cross_entropy_with_logits(logits, target.nan_to_num(), reduction="none")
    return (loss * known).sum() / known.sum().clamp(min=1)


def _to_device(grey: npt.NDArray[np.uint8], device: torch.device) -> torch.Tensor:
    return torch.from_numpy(grey).to(device).unsqueeze(1).float() / 255.0


def _stored(tensor: torch.Tensor, precision: str) -> npt.NDArray[Any]:
    # Matrices make up the size; vectors (norms, biases, running statistics) stay as they are.
    if precision == "fp16" and tensor.is_floating_point() and tensor.ndim > 1:
        tensor = tensor.half()
    return tensor.cpu().contiguous().numpy()


def _weight_decay_groups(model: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    matrices = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    vectors = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]


def _warm_up_then_cosine(recipe: Recipe, steps: int) -> Callable[[int], float]:
    warm, total = recipe.warmup * steps, recipe.epochs * steps

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / (warm + 1)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1.0, total - warm))))

    return factor
