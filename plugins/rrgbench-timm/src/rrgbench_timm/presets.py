"""The two architectures that ship with weights. Small: they are trained on a CPU in half an hour, from a config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class Architecture:
    """A timm model, its arguments, and the image size in pixels."""

    model: str
    size: int
    model_args: Mapping[str, Any] = field(default_factory=dict)


PRESETS = {
    # LeViT (Graham et al., ICCV 2021), narrowed: its convolutional stem learns from few images, which ViT's does not.
    "vit": Architecture("levit_128s", 128, {"embed_dim": [96, 128, 160], "num_heads": [3, 4, 5], "depth": [2, 2, 2]}),
    # ResNet (He et al., CVPR 2016) with one block a stage. Maxima beside averages, because findings can be small.
    "cnn": Architecture(
        "resnet18",
        128,
        {
            "layers": [1, 1, 1, 1],
            "channels": [24, 48, 96, 192],
            "stem_type": "deep",
            "stem_width": 8,
            "global_pool": "catavgmax",
        },
    ),
}
