"""What is drawn on: the attenuation along each ray, and the shapes that are added to it.

Air attenuates 0, soft tissue about 1. All shapes are given in fractions of the image, so that an image of any size is
the same picture, but for its grain.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from rrgbench.datasets.phantom.chest import ENTRIES, F64, LOWEST, REACH, Chest, Corners

F32 = npt.NDArray[np.float32]
Window = tuple[slice, slice]
EVERYWHERE: Window = (slice(None), slice(None))

AIR = 0.6  # how much attenuation the air of a full lung takes away


@lru_cache(maxsize=8)
def _grid(size: int) -> tuple[F32, F32]:
    """x and y of the pixels' centres, from -0.5 to 0.5."""
    line = ((np.arange(size) + 0.5) / size - 0.5).astype(np.float32)
    x, y = np.meshgrid(line, line)
    return x, y


# Blurring and stretching go by shifted sums, not by matrix products: a BLAS would start threads of its own, which get
# in each other's way where several processes draw, and could round differently from one machine to the next.


def _blur(picture: F32, sigma: float) -> F32:
    """Gaussian blur, ``sigma`` in pixels; dark beyond the borders."""
    reach = math.ceil(2.5 * sigma)
    weights = np.exp(-0.5 * (np.arange(reach + 1) / sigma) ** 2)
    weights = (weights / (2 * weights.sum() - weights[0])).astype(np.float32)
    for _ in range(2):  # down the columns, then, turned over, along the rows
        out = picture * weights[0]
        for i in range(1, reach + 1):
            part = picture * weights[i]
            out[i:] += part[:-i]
            out[:-i] += part[i:]
        picture = np.ascontiguousarray(out.T)
    return picture


@lru_cache(maxsize=16)
def _knots(size: int, knots: int) -> tuple[npt.NDArray[np.intp], F32]:
    """For each pixel of a line: the four knots around it, and their weights (B-spline, for unit variance)."""
    at = (np.arange(size) + 0.5) / size * (knots - 3)
    start = np.minimum(at.astype(np.intp), knots - 4)
    t = at - start
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3])
    return start + np.arange(4)[:, None], (weights / np.sqrt((weights**2).sum(axis=0))).astype(np.float32)


def _noise(seed: int, size: int, knots: int) -> F32:
    """Smooth noise of unit variance that is the same picture at any size."""
    picture = np.random.default_rng((seed, knots)).standard_normal((knots, knots), dtype=np.float32)
    index, weight = _knots(size, knots)
    for _ in range(2):
        stretched = picture[index[0]] * weight[0][:, None]
        for i in range(1, 4):
            stretched += picture[index[i]] * weight[i][:, None]
        picture = np.ascontiguousarray(stretched.T)
    return picture


class Canvas:
    """The attenuation that has been drawn so far, and the fields that every painter needs."""

    def __init__(self, chest: Chest, size: int) -> None:
        self.chest, self.size = chest, size
        q = chest.acquisition
        cos, sin = math.cos(chest.angle) / q.zoom, math.sin(chest.angle) / q.zoom
        gx, gy = _grid(size)
        gx, gy = gx - q.shift[0], gy - q.shift[1]
        self.x: F32 = 0.5 + cos * gx + sin * gy
        self.y: F32 = 0.5 - sin * gx + cos * gy
        row = np.clip((self.y - LOWEST) * ((ENTRIES - 1) / REACH), 0, ENTRIES - 1).astype(np.int32)
        off = self.x - take(chest.middle, row)
        self.row = row
        self.left = off > 0
        self.d: F32 = np.abs(off)  # from the midline
        column = np.minimum(self.d * ((ENTRIES - 1) / (REACH / 2)), ENTRIES - 1).astype(np.int32)
        self.outer = take(chest.outer, row)
        self.floor = take(chest.floor, column + ENTRIES * self.left)
        inside = np.minimum(
            (self.d - take(chest.inner, row + ENTRIES * self.left)) / 0.06, (self.outer - self.d) / 0.08
        )
        self.lung = dome(np.minimum(inside, (self.floor - self.y) / 0.05))  # share of the air's depth, 0..1
        self.air: F32 = AIR * (1 - 0.12 * (1 - q.inspiration)) * self.lung  # still there to be filled
        self.aerated: F32 = np.ones((size, size), np.float32)  # 0 where a lung has drawn back: no vessels show there
        self.mottle = _noise(chest.anatomy.texture, size, 34)
        self.clouds = _noise(chest.anatomy.texture, size, 11)
        self.total: F32 = np.zeros((size, size), np.float32)
        self._strokes: dict[str, list[tuple[F64, F64, F64]]] = {"vessel": [], "fine": [], "line": []}

    def window(self, corners: Corners) -> Window:
        """The pixels that hold a box of the patient's frame."""
        x0, y0, x1, y1 = corners
        x, y = self.chest.to_image(np.array([x0, x1, x1, x0]), np.array([y0, y0, y1, y1]))
        size = self.size

        def span(values: F64) -> slice:
            low, high = float(values.min()) * size, float(values.max()) * size
            return slice(min(max(int(low), 0), size), min(max(int(high) + 2, 0), size))

        return span(y), span(x)

    def on(self, side: int, at: Window) -> npt.NDArray[np.bool_]:
        """Which pixels of a window lie on this side of the midline."""
        mine: npt.NDArray[np.bool_] = self.left[at] == (side > 0)
        return mine

    def fill(self, at: Window, share: F32) -> None:
        """Take a share of the air that is left, so that what overlaps can't fill a lung twice."""
        taken = self.air[at] * share
        self.total[at] += taken
        self.air[at] -= taken

    def ball(self, x: float, y: float, radius: float, amount: float, soft: float = 1.0, stretch: float = 1.0) -> None:
        """A ball (``stretch`` times as high as wide): thick in its middle, with a visible edge."""
        at = self.window((x - radius, y - radius * stretch, x + radius, y + radius * stretch))
        from_centre = np.hypot(self.x[at] - x, (self.y[at] - y) / stretch)
        self.total[at] += amount * dome((1 - from_centre / radius) / soft)

    def haze(self, x: float, y: float, rx: float, ry: float, amount: float, mottle: float, sharp: float = 1.0) -> None:
        """A cloud in the lung: ``amount`` is the share of the air that it takes at its middle."""
        at = self.window((x - 1.9 * rx, y - 1.9 * ry, x + 1.9 * rx, y + 1.9 * ry))
        r2 = ((self.x[at] - x) / rx) ** 2 + ((self.y[at] - y) / ry) ** 2
        r2 *= np.exp(0.45 * self.clouds[at])  # a ragged outline
        cloud = np.exp(-(np.minimum(r2, 12.0) ** sharp))
        cloud *= np.maximum(1 + mottle * self.mottle[at], 0)
        self.fill(at, np.minimum(amount * cloud, 1))

    def bar(
        self, x0: float, y0: float, x1: float, y1: float, width: float, amount: float, in_lung: bool = False
    ) -> None:
        """A straight band with soft edges; ``width`` is its standard deviation."""
        across = max(width, 0.6 / self.size)  # no thinner than a pixel shows, but then fainter
        reach = 2.2 * across
        at = self.window((min(x0, x1) - reach, min(y0, y1) - reach, max(x0, x1) + reach, max(y0, y1) + reach))
        dx, dy = x1 - x0, y1 - y0
        px, py = self.x[at] - x0, self.y[at] - y0
        along = np.clip((px * dx + py * dy) / (dx * dx + dy * dy), 0, 1)
        r2 = (px - along * dx) ** 2 + (py - along * dy) ** 2
        band = np.exp(r2 * (-0.5 / across**2)) * (amount * width / across)
        self.total[at] += band * self.lung[at] if in_lung else band

    def stroke(self, layer: str, x: F64, y: F64, amount: float | F64) -> None:
        """A thin curve through points; ``amount`` is attenuation times width.

        The layers "vessel" and "fine" show where there is air, "line" everywhere.
        """
        step = np.hypot(np.diff(x, append=x[..., -1:]), np.diff(y, append=y[..., -1:]))
        self._strokes[layer].append((x.ravel(), y.ravel(), (step * amount).ravel()))

    def points(self, length: float) -> int:
        """How many points a curve of this length needs to look unbroken."""
        return int(length * self.size * 1.5) + 4

    def _layer(self, name: str, sigma: float) -> F32 | None:
        if not self._strokes[name]:
            return None
        x, y, weight = (np.concatenate(parts) for parts in zip(*self._strokes[name], strict=True))
        ix, iy = self.chest.to_image(x, y)
        size = self.size
        ix, iy = np.clip(ix * size - 0.5, 0, size - 1.001), np.clip(iy * size - 0.5, 0, size - 1.001)
        column, row = ix.astype(np.int64), iy.astype(np.int64)
        fx, fy = ix - column, iy - row
        start = row * size + column
        index = np.concatenate([start, start + 1, start + size, start + size + 1])
        share = np.concatenate([(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy]) * np.tile(weight, 4)
        splat = np.bincount(index, share * size**2, minlength=size * size).astype(np.float32).reshape(size, size)
        return _blur(splat, max(sigma * size, 0.55))

    def expose(self) -> F32:
        """The finished image."""
        q, total, size = self.chest.acquisition, self.total, self.size
        vessels_show = self.air * self.aerated * (1 / AIR)  # they vanish where a lung is filled
        for name, sigma in (("vessel", 0.0036), ("fine", 0.002)):
            layer = self._layer(name, sigma)
            if layer is not None:
                total += layer * vessels_show
        lines = self._layer("line", 0.0017)
        if lines is not None:
            total += lines
        total += 0.014 * self.mottle + 0.02 * self.clouds
        if q.blur * size > 0.3:
            total = _blur(total, q.blur * size)
        # The film's curve: air about 0, lungs about .3, the mediastinum about .85.
        value = 1 / (1 + np.exp((total - (0.62 + q.exposure)) * (-4.3 * q.contrast)))
        grain = np.random.default_rng(q.grain).standard_normal((size, size), dtype=np.float32)
        value = (value - 0.06) / 0.94 + q.noise * grain
        rounded: F32 = np.rint(np.clip(value, 0, 1) * 255) / 255
        return rounded


def take(table: F64, index: npt.NDArray[np.int32]) -> F32:
    """The entries of a table, or of its two rows one after the other, for each pixel."""
    taken: F32 = table.astype(np.float32).ravel()[index]
    return taken


def dome(depth: F32) -> F32:
    """The thickness of a round body by the depth from its edge: 0 at 0, 1 from 1 on, steep at the edge."""
    depth = np.clip(depth, 0, 1)
    thickness: F32 = np.sqrt(depth * (2 - depth))
    return thickness
