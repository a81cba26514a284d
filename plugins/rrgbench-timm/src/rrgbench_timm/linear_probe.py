"""A linear layer on frozen features, trained at several learning rates at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

_ROWS = 4096  # read from a file of features at once


class Head(NamedTuple):
    """A linear layer: ``weight``, float32 of shape (labels, features), and ``bias``, of shape (labels,)."""

    weight: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]


def train(
    features: npt.NDArray[np.float32],
    targets: npt.NDArray[np.float32],
    rates: Sequence[float],
    *,
    epochs: int,
    batch: int,
    seed: int,
    device: torch.device,
) -> list[Head]:
    """A head for each learning rate, trained on the same batches.

    DINOv2's linear evaluation (facebookresearch/dinov2, eval/linear.py): weights drawn with a deviation of 0.01, SGD
    with momentum 0.9 and no weight decay, the rate times batch / 256, cosine to 0. The loss is the mean binary
    cross-entropy over what is known: ``targets``, shape (studies, labels), are 1, 0 and NaN. (The radiology benchmark's
    copy of that code neither scales the rate by the batch nor divides the loss by it.)
    """
    n, width = features.shape
    labels = targets.shape[1]
    batch = min(batch, n)
    start = torch.randn(labels, width, generator=torch.Generator().manual_seed(seed)) * 0.01
    weights = [start.clone().to(device).requires_grad_() for _ in rates]
    biases = [torch.zeros(labels, device=device, requires_grad=True) for _ in rates]
    groups = [
        {"params": [weight, bias], "lr": rate * batch / 256}
        for weight, bias, rate in zip(weights, biases, rates, strict=True)
    ]
    optimiser = torch.optim.SGD(groups, lr=0.0, momentum=0.9)
    steps = epochs * math.ceil(n / batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: (1 + math.cos(math.pi * step / steps)) / 2)
    for epoch in range(epochs):
        order = np.random.default_rng([seed, epoch]).permutation(n)
        for at in range(0, n, batch):
            rows = np.sort(order[at : at + batch])  # a file is read faster in order
            x = torch.from_numpy(features[rows]).to(device)
            y = torch.from_numpy(targets[rows]).to(device)
            known = ~torch.isnan(y)
            logits = torch.stack([F.linear(x, weight, bias) for weight, bias in zip(weights, biases, strict=True)])
            each = F.binary_cross_entropy_with_logits(logits, y.nan_to_num().expand_as(logits), reduction="none")
            optimiser.zero_grad(set_to_none=True)
            loss = (each * known).sum() / known.sum().clamp(min=1)  # a sum over heads, which share no weights
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    return [
        Head(weight.detach().cpu().numpy(), bias.detach().cpu().numpy())
        for weight, bias in zip(weights, biases, strict=True)
    ]


def probabilities(head: Head, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """The probability of each label, shape (studies, labels)."""
    out = np.empty((len(features), len(head.bias)))
    for at in range(0, len(features), _ROWS):
        # In float64, so that the size of a study's batch shows in no digit that matters.
        out[at : at + _ROWS] = features[at : at + _ROWS].astype(np.float64) @ head.weight.T + head.bias
    # Without overflow for great logits of either sign.
    return np.exp(-np.logaddexp(0.0, -out))
