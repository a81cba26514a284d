"""How well a map agrees with boxes: the pointing game, and the overlap of what stands out with them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import PIL.Image

from rrgbench.types import Box

Map = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

SIDE = 512  # values on the longer side of an enlarged map: all encoders are measured equally finely
LEVELS = 256  # of the histogram that the threshold is found on
SAME = 1e-6  # of a map's range: values nearer than this are equal but for rounding


def enlarged(found: Map) -> Map:
    """A map with at least ``SIDE`` values on its longer side, by bilinear interpolation."""
    height, width = found.shape
    by = SIDE / max(height, width)
    if by <= 1:
        return found
    size = (max(1, round(width * by)), max(1, round(height * by)))
    return np.asarray(PIL.Image.fromarray(found).resize(size, PIL.Image.Resampling.BILINEAR))


def peak(found: Map) -> tuple[float, float] | None:
    """Where a map points: x and y of its maximum, as fractions of the width and the height.

    Of several maxima the one nearest to the middle: enlarging repeats the outermost cells out to the border, and the
    nearest is then the cell's centre. None for a map that is the same everywhere: it points nowhere.
    """
    reach = np.ptp(found)
    if not reach > 0:
        return None
    y, x = np.nonzero(found >= found.max() - SAME * reach)
    across, down = (x + 0.5) / found.shape[1], (y + 0.5) / found.shape[0]
    nearest = int(np.argmin((across - 0.5) ** 2 + (down - 0.5) ** 2))
    return float(across[nearest]), float(down[nearest])


def hits(point: tuple[float, float] | None, boxes: Sequence[Box]) -> bool:
    """The pointing game of one map: whether its maximum lies in a box, or on its edge.

    Zhang et al. (ECCV 2016), without their tolerance of 15 pixels. ``point`` is x and y as ``peak`` gives them.
    """
    if point is None:
        return False
    x, y = point
    return any(box.x <= x <= box.x + box.width and box.y <= y <= box.y + box.height for box in boxes)


def covered(boxes: Sequence[Box], shape: tuple[int, int]) -> Mask:
    """Which pixels of an image of ``shape`` (height, width) have their centre in a box."""
    y, x = ((np.arange(length) + 0.5) / length for length in shape)
    out = np.zeros(shape, dtype=bool)
    for box in boxes:
        down = (box.y <= y) & (y <= box.y + box.height)
        across = (box.x <= x) & (x <= box.x + box.width)
        out |= down[:, None] & across
    return out


def standing_out(found: Map) -> Mask:
    """The pixels above the map's own threshold by Otsu's method (IEEE Trans. SMC 9, 1979); none of a constant map.

    The threshold that parts the histogram into two classes that are as far apart as can be. Nothing is tuned on boxes.
    Saporta et al. (Nature Machine Intelligence 2022) measure saliency on chest radiographs with it.
    """
    low, reach = found.min(), np.ptp(found)
    if not reach > 0:
        return np.zeros(found.shape, dtype=bool)
    level = np.minimum((found - low) / reach * LEVELS, LEVELS - 1).astype(np.intp)
    counts = np.bincount(level.ravel(), minlength=LEVELS).astype(float)
    below, total = np.cumsum(counts)[:-1], counts.sum()
    sums = np.cumsum(counts * np.arange(LEVELS))
    mean = sums[-1] / total
    # Between-class variance times total**2: (mean * n0 - s0)**2 * total / (n0 * n1); n0 and n1 are never 0 here.
    between = (mean * below - sums[:-1]) ** 2 / (below * (total - below))
    above: Mask = level > int(np.argmax(between))
    return above


def overlap(first: Mask, second: Mask) -> float:
    """Intersection over union of two masks, 0 to 1; 0 where both are empty."""
    union = int((first | second).sum())
    return int((first & second).sum()) / union if union else 0.0
