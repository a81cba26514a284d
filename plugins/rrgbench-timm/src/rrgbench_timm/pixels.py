"""From a radiograph's pixels to what a network takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image as PillowImage

from rrgbench.errors import ImageError
from rrgbench.normalisation import Adjust, unchanged
from rrgbench.types import Image


def frontal(images: Sequence[Image]) -> Image | None:
    """The first frontal image; the first of all where every one is lateral; None of none."""
    return next((image for image in images if image.view != "LATERAL"), images[0] if images else None)


def read(image: Image, size: int, adjust: Adjust = unchanged) -> npt.NDArray[np.uint8]:
    """An image's pixels as grey levels 0..255 of shape (size, size). Raises ImageError.

    The shorter side is padded with black on both ends rather than the longer one cropped: what decides is often at
    the edge (an apex, a costophrenic angle). Scaling down averages (antialiasing). ``adjust``, a preset's, comes
    before, on the whole image. Training and encoding both go through here, so a network sees the very same kind of
    pixels.
    """
    pixels = np.asarray(image.read(), dtype=np.float32)
    if pixels.ndim != 2 or pixels.size == 0 or not np.isfinite(pixels).all():
        raise ImageError(
            f"The image {image.image_id} is not a grey picture of finite numbers: shape {pixels.shape},"
            f" {int(np.count_nonzero(~np.isfinite(pixels)))} pixels that are NaN or infinite."
        )
    pixels = adjust(pixels)
    height, width = pixels.shape
    side = max(height, width)
    if height != width:
        top, left = (side - height) // 2, (side - width) // 2
        pixels = np.pad(pixels, ((top, side - height - top), (left, side - width - left)))
    if side != size:
        scaled = PillowImage.fromarray(pixels).resize((size, size), PillowImage.Resampling.BILINEAR)
        pixels = np.asarray(scaled, dtype=np.float32)
    return np.rint(np.clip(pixels, 0.0, 1.0) * 255.0).astype(np.uint8)


def as_input(grey: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """Grey levels 0..1 of shape (batch, 1, size, size) as the network's input, a channel for each mean and std."""
    shape = (1, len(mean), 1, 1)
    centre, spread = (torch.tensor(list(v), dtype=grey.dtype, device=grey.device).view(shape) for v in (mean, std))
    return ((grey - centre) / spread).contiguous(memory_format=torch.channels_last)
