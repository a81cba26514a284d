"""Radiographs as they might have been taken, too: what training sees of each picture, another time each epoch."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F


def augmented(x: torch.Tensor, generator: torch.Generator, mirror: bool = False) -> torch.Tensor:
    """Grey pictures (batch, 1, size, size) in 0..1, each turned, moved, scaled and exposed a little differently.

    Up to 8 degrees, 6 % of the width, 10 % of the size, 20 % of the contrast and .1 of brightness, with noise of up to
    .03. With ``mirror`` every second one, by chance, has left and right changed: off by default, as the heart is on the
    left, and a finding has a side. All draws come from ``generator``, which is on the CPU, whatever the device.
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
    out = ((moved - 0.5) * contrast + 0.5 + brightness + grain * noise).clamp(0, 1)
    if mirror:  # drawn last and only here, so that the other draws are the same with and without
        out = torch.where((uniform(0, 1) < 0.5).view(n, 1, 1, 1), out.flip(-1), out)
    return out
