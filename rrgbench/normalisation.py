"""Normalisation of a radiograph's pixels by named presets, because encoders were trained on differently made images.

CheXpert's JPEGs were scaled by their greatest value, MIMIC-CXR-JPG's from the least to the greatest, and both equalised
(threads stanfordmlgroup/chexpert-labeler#11 and MIT-LCP/mimic-cxr#16). A preset has two steps: ``adjust`` works on the
whole image, before it is scaled to a network's size; ``mean`` and ``std`` follow. It is part of an encoder's signature.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.float32]
Adjust = Callable[[Pixels], Pixels]
PresetName = Literal["imagenet", "xrv", "maira", "mimic-jpg"]


def unchanged(pixels: Pixels) -> Pixels:
    """The pixels as they are."""
    return pixels


def stretched(pixels: npt.NDArray[np.generic]) -> Pixels:
    """Any numbers, the least of them to 0 and the greatest to 1; an image of one value becomes 0 all over."""
    values = pixels.astype(np.float64)
    values -= values.min()
    if greatest := values.max():
        values /= greatest
    return values.astype(np.float32)


def stretched_levels(pixels: Pixels) -> npt.NDArray[np.uint8]:
    """``stretched``, as grey levels 0..255, rounded down."""
    # What float32 loses on a whole level must not make it the level below.
    return np.floor(stretched(pixels) * np.float64(255) + 1e-3).astype(np.uint8)


def equalised(levels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Grey levels with an even histogram, as OpenCV's ``equalizeHist`` defines it.

    A level becomes 255 times the share of the pixels that have at most this level, those of the least level left out
    of both counts. An image of one level stays as it is. Source: OpenCV, modules/imgproc/src/histogram.cpp.
    """
    counts = np.bincount(levels.ravel(), minlength=256)
    counts[levels.min()] = 0
    if not counts.any():
        return levels
    share = np.float32(255) / np.float32(counts.sum())
    table: npt.NDArray[np.uint8] = np.rint(counts.cumsum().astype(np.float32) * share).astype(np.uint8)
    return table[levels]


def like_maira(pixels: Pixels) -> Pixels:
    """Stretched to the 256 grey levels, 0..1."""
    return _shares(stretched_levels(pixels))


def like_mimic_jpg(pixels: Pixels) -> Pixels:
    """Stretched to the 256 grey levels and equalised, 0..1."""
    return _shares(equalised(stretched_levels(pixels)))


def _shares(levels: npt.NDArray[np.uint8]) -> Pixels:
    return levels.astype(np.float32) / np.float32(255)


@dataclass(frozen=True)
class Preset:
    """How pixels are normalised: by default, not at all.

    ``adjust`` maps a whole image of 0..1, shape (height, width), to another. ``mean`` and ``std`` have one number a
    channel of the network; both are empty where the preset leaves them open.
    """

    adjust: Adjust = unchanged
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


PRESETS: dict[PresetName, Preset] = {
    # torchvision's and timm's IMAGENET_DEFAULT_MEAN and _STD.
    "imagenet": Preset(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    # (2 p - 1) * 1024: TorchXRayVision, torchxrayvision/utils.py, normalize(). One channel.
    "xrv": Preset(mean=(0.5,), std=(1 / 2048,)),
    # Min-max: Maira2Processor._normalize_image (hub, microsoft/maira-2, processing_maira2.py). Mean and standard
    # deviation: RAD-DINO's (hub, microsoft/rad-dino, preprocessor_config.json), known from many users' copies; that
    # microsoft/rad-dino-maira-2 has the same is unverified.
    "maira": Preset(like_maira, (0.5307,) * 3, (0.2583,) * 3),
    # MIMIC-CXR-JPG's own way from DICOM to JPEG (thread MIT-LCP/mimic-cxr#16), for images that were not made so. It
    # starts from the stored values, without rescale and window, so that a DICOM read by rrgbench comes close and no
    # more; the JPEG's own losses are not imitated.
    "mimic-jpg": Preset(like_mimic_jpg),
}


def normalise(pixels: Pixels, preset: PresetName) -> Pixels:
    """An image of 0..1, shape (height, width), as a network takes it: float32, shape (channels, height, width).

    Each channel is (adjusted pixels - mean) / std. A preset without a mean gives one channel of 0..1.
    """
    chosen = PRESETS[preset]
    grey = chosen.adjust(pixels)[np.newaxis]
    if not chosen.mean:
        return grey
    mean, std = (np.array(numbers, dtype=np.float32).reshape(-1, 1, 1) for numbers in (chosen.mean, chosen.std))
    out: Pixels = (grey - mean) / std
    return out
