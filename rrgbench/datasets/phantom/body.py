"""The normal chest, with what may be mistaken for disease: nipples, breasts, shoulder blades, folds of skin."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from rrgbench.datasets.phantom import population as who
from rrgbench.datasets.phantom.canvas import EVERYWHERE, F32, Canvas, Window, dome, take
from rrgbench.datasets.phantom.chest import F64, LEFT, RIGHT, Chest, sides, smooth


def _rib_profile() -> F32:
    """Across one rib and the space to the next: a band with brighter borders, the lower one sharper."""
    f = np.linspace(0, 1, 256, endpoint=False)
    band = smooth((f - 0.2) / 0.1) * (1 - smooth((f - 0.62) / 0.08))
    edges = np.exp(-(((f - 0.28) / 0.06) ** 2)) + 1.3 * np.exp(-(((f - 0.61) / 0.045) ** 2))
    return (0.7 * band + 0.45 * edges).astype(np.float32)


_RIB = _rib_profile()


# The strokes of the side markers, an L and an R, in a unit square.
_LETTERS = {
    "left": ((0, 0, 0, 1), (0, 1, 1, 1)),
    "right": ((0, 0, 0, 1), (0, 0, 0.9, 0), (0.9, 0, 0.9, 0.45), (0, 0.45, 0.9, 0.45), (0.3, 0.45, 1, 1)),
}


def paint_body(canvas: Canvas) -> None:
    """Everything but the conditions; those that are the shape of the chest itself are already in its geometry."""
    chest = canvas.chest
    a, q = chest.anatomy, chest.acquisition
    body = dome((take(chest.skin, canvas.row) - canvas.d) / 0.3)
    below = np.clip((canvas.y - (chest.dome[RIGHT] - 0.05)) / 0.25, 0, 1)
    canvas.total += body * ((0.93 + 0.12 * a.fat) + 0.14 * below)
    canvas.total -= canvas.air
    canvas.total += ribs(canvas, EVERYWHERE)
    _paint_middle(canvas)
    _paint_heart(canvas)
    _paint_shoulders(canvas)
    _paint_soft_parts(canvas)
    _paint_vessels(canvas)
    if q.skin_fold:
        side = LEFT if q.marker == "left" else RIGHT
        t = np.linspace(0, 1, canvas.points(0.4))
        fold = 0.5 + side * (0.29 - 0.1 * t + 0.03 * t * t)
        canvas.stroke("line", fold, 0.22 + 0.4 * t, 0.021 * q.skin_fold * np.sin(math.pi * t))
    for x0, y0, x1, y1 in _LETTERS.get(q.marker, ()):
        x = 0.91 if q.marker == "left" else 0.06
        canvas.bar(x + 0.022 * x0, 0.07 + 0.04 * y0, x + 0.022 * x1, 0.07 + 0.04 * y1, 0.0028, 0.9)


def ribs(canvas: Canvas, at: Window, shift: F32 | None = None) -> F32:
    """The ribs' attenuation in a window; ``shift`` moves them down, pixel by pixel."""
    chest, a = canvas.chest, canvas.chest.anatomy
    d, outer = canvas.d[at], canvas.outer[at]
    y: F32 = canvas.y[at] if shift is None else canvas.y[at] - shift
    out = d * (1 / chest.half)
    inside = np.clip((outer + 0.014 - d) * 80, 0, 1)
    rim = out * out
    rim = 1 + rim * rim * rim
    back = (y - (a.apex - 0.035) - out * (a.rib_slope + 0.05 * out * out)) * (1 / a.rib_spacing)
    front = (y - (a.apex + 0.2) + 0.22 * out) * (1 / (1.12 * a.rib_spacing))
    total = (0.08 * a.rib_contrast) * rim * _bands(back, 9.4)
    total += (0.055 * a.rib_contrast) * _bands(front, 6.4) * np.clip((out - 0.3) * 4, 0, 1)
    picture: F32 = total * inside
    return picture


def rib_at(chest: Chest, rib: int, out: float) -> tuple[float, float]:
    """A point on a back rib: its distance from the midline, and y. ``out`` is 0 at the midline, 1 at the half width."""
    a = chest.anatomy
    y = a.apex - 0.035 + out * (a.rib_slope + 0.05 * out * out) + a.rib_spacing * (rib + 0.45)
    return min(out * chest.half, chest.at_height(chest.outer, y) - 0.02), y


def _bands(phase: npt.NDArray[np.floating[Any]], last: float) -> F32:
    """The profile of ribs 0 to ``last`` by their phase, fading below the last."""
    index = ((phase - np.floor(phase)) * 255.99).astype(np.uint8)
    bands: F32 = _RIB[index] * np.clip(phase * 4, 0, 1) * np.clip((last - phase) * 0.8, 0, 1)
    return bands


def _paint_middle(canvas: Canvas) -> None:
    chest, a = canvas.chest, canvas.chest.anatomy
    at = canvas.window((0.38, -0.1, 0.62, 1.1))
    d, y = canvas.d[at], canvas.y[at]
    spine = dome((0.042 - d) * 40)
    discs = 1 - 0.35 * np.maximum(np.sin(y * (2 * math.pi / (0.92 * a.rib_spacing))), 0) ** 2
    canvas.total[at] += 0.13 * spine * discs
    # The windpipe, and the main bronchi from its fork.
    x, fork = 0.506 + 0.7 * chest.acquisition.turn, a.apex + 0.235
    air = dome((0.02 - np.abs(canvas.x[at] - x)) * 50)
    canvas.total[at] -= 0.13 * air * np.clip((fork - y) * 25, 0, 1)
    canvas.bar(x, fork - 0.01, x - 0.05, fork + 0.045, 0.008, -0.07)
    canvas.bar(x, fork - 0.01, x + 0.06, fork + 0.05, 0.007, -0.06)


def _paint_heart(canvas: Canvas) -> None:
    chest = canvas.chest
    x, y, along, across, tilt = chest.heart()
    width = chest.heart_width
    at = canvas.window((x - 0.7 * width, y - 0.36, x + 0.6 * width, y + 0.5 * width))
    px, py = canvas.x[at] - x, canvas.y[at] - y
    cos, sin = math.cos(tilt), math.sin(tilt)
    main = 1 - np.hypot((px * cos + py * sin) / along, (py * cos - px * sin) / across)
    ax, ay, r = 0.5 + chest.acquisition.turn - 0.11 * width, y + 0.02, 0.21 * width
    atrium = 1 - np.hypot((canvas.x[at] - ax) / r, (canvas.y[at] - ay) / (1.35 * r))
    # The great vessels rise from the heart to the upper mediastinum.
    stem_x, stem_y = 0.505 + chest.acquisition.turn, y - 0.13
    stem = 1 - np.hypot((canvas.x[at] - stem_x) / 0.075, (canvas.y[at] - stem_y) / 0.17)
    depth = np.maximum(np.maximum(main * 2.4, atrium * 1.6), stem * 1.6)
    body = dome(depth)
    canvas.total[at] += 0.05 * body
    canvas.fill(at, 0.8 * body)  # lung goes on before and behind it


def clavicle_at(chest: Chest, side: int, share: float) -> tuple[float, float]:
    """x and y of a clavicle, but for its bow, from its inner end (0) to its outer end (1)."""
    a, q = chest.anatomy, chest.acquisition
    y0 = a.apex + (0.045 if q.view == "AP" else 0.075) + side * 0.3 * q.turn
    return 0.5 + side * (0.03 + 0.33 * share), y0 - 0.33 * a.clavicle * share


def clavicle(canvas: Canvas, side: int, shift: float = 0.0, beyond: float = 1.0) -> None:
    """One clavicle; what lies further out than ``beyond`` (a share of its length) is moved down by ``shift``."""
    x0, y0 = clavicle_at(canvas.chest, side, 0)
    x1, _ = clavicle_at(canvas.chest, side, 1)
    at = canvas.window((min(x0, x1), y0 - 0.16, max(x0, x1), y0 + 0.09))
    t = np.clip((canvas.x[at] - x0) * (side / 0.33), 0, 1)
    curve = y0 - t * (0.33 * canvas.chest.anatomy.clavicle) + 0.018 * np.sin(t * (2 * math.pi))
    if shift:
        curve = curve + shift * (t > beyond)
    r = np.abs(canvas.y[at] - curve) / (0.012 + 0.007 * np.abs(t - 0.5))
    bone = np.clip((1 - r) * 4, 0, 1) * (0.65 + 0.5 * np.minimum(r, 1) ** 4)
    canvas.total[at] += 0.17 * bone * np.clip(t * 40, 0, 1) * np.clip((1 - t) * 15, 0, 1)


def _broken_clavicle(canvas: Canvas) -> int:
    """The side of a broken clavicle, which the fracture draws itself; 0 for none."""
    for condition in canvas.chest.visit.conditions:
        if condition.label == who.FRACTURE and condition.form == "clavicle":
            return sides(condition)[0]
    return 0


def _paint_shoulders(canvas: Canvas) -> None:
    chest, a = canvas.chest, canvas.chest.anatomy
    over = a.scapula + (0.35 if chest.acquisition.view == "AP" else 0.0)
    broken = _broken_clavicle(canvas)
    for side in (RIGHT, LEFT):
        if side != broken:
            clavicle(canvas, side)
        x = 0.5 + side * (chest.half + 0.055 - 0.055 * over)
        at = canvas.window((x - 0.11, a.apex - 0.02, x + 0.11, a.apex + 0.34))
        u = (canvas.x[at] - x) * side - 0.28 * (canvas.y[at] - (a.apex + 0.16))
        blade = np.minimum((u + 0.07) * 12, (0.16 - np.abs(canvas.y[at] - (a.apex + 0.15))) * 9)
        depth = np.clip(blade, 0, 1) * np.clip((0.08 - u) * 20, 0, 1)
        border = np.exp(-(((u + 0.065) * 110) ** 2)) * (depth > 0)
        canvas.total[at] += 0.05 * depth + 0.035 * border
        canvas.ball(0.5 + side * 0.46, a.apex + 0.06, 0.055, 0.16, stretch=1.1)


def _paint_soft_parts(canvas: Canvas) -> None:
    chest, a = canvas.chest, canvas.chest.anatomy
    for side in (RIGHT, LEFT):
        x = 0.5 + side * (0.5 * chest.half + 0.02)
        y = a.dome - 0.1 + 0.05 * a.breast
        if a.breast:
            canvas.ball(x, y, 0.13 + 0.045 * a.breast, 0.08 + 0.1 * a.breast, soft=0.5, stretch=0.95)
        if a.nipple:
            canvas.ball(x + side * 0.05, y + 0.08 * a.breast + 0.01, 0.0125, a.nipple)
    if a.bubble:
        canvas.ball(0.5 + 0.42 * chest.half, chest.dome[LEFT] + 0.03 + 0.6 * a.bubble, a.bubble, -0.25, stretch=0.6)


def _paint_vessels(canvas: Canvas) -> None:
    """Two trees that branch out from the hila, the same for every study of a patient."""
    chest, a = canvas.chest, canvas.chest.anatomy
    rng = np.random.default_rng((a.texture, 1))
    root_y = a.apex + 0.31 - 0.03 * (1 - chest.acquisition.inspiration)
    # 2 sides x 11 branches, fanned from upward to downward.
    fan = np.linspace(-1.35, 1.3, 11) + rng.uniform(-0.12, 0.12, (2, 11))
    length = (0.17 + 0.11 * np.cos(fan - 0.6)) * rng.uniform(0.8, 1.2, (2, 11))
    bend = rng.uniform(-0.5, 0.5, (2, 11))
    sign = np.array([[RIGHT], [LEFT]])
    x0, y0 = np.full((2, 11), 0.058), root_y + np.array([[0.012], [-0.008]]) + rng.uniform(-0.035, 0.05, (2, 11))
    x, y, angle = _branch(x0, y0, fan, length, bend, canvas.points(0.25))
    t = np.linspace(0, 1, x.shape[-1])
    # Congestion fills all vessels, the upper ones most.
    amount = 0.0011 * a.vessels * (1 + chest.congestion * (0.5 + 0.7 * (fan[..., None] < 0)))
    canvas.stroke("vessel", 0.5 + sign[..., None] * x, y, amount * (1.3 - t) ** 1.5 * np.minimum(6 * t + 0.2, 1))
    # Each gives off four finer ones.
    start = (x.shape[-1] * np.array([0.25, 0.42, 0.6, 0.78])).astype(int)
    turn = rng.uniform(0.4, 0.8, (2, 11, 4)) * np.array([1, -1, 1, -1])
    finer = 0.55 * length[..., None] * rng.uniform(0.6, 1.2, (2, 11, 4))
    x, y, _ = _branch(x[..., start], y[..., start], angle[..., start] + turn, finer, turn * -0.5, canvas.points(0.13))
    t = np.linspace(0, 1, x.shape[-1])
    canvas.stroke("fine", 0.5 + sign[..., None, None] * x, y, 0.5 * amount[..., None] * (1.1 - t))
    # The hila themselves.
    for side in (RIGHT, LEFT):
        y1 = root_y + (0.012 if side == RIGHT else -0.012)
        canvas.bar(0.5 + side * 0.06, y1 - 0.02, 0.5 + side * 0.085, y1 + 0.045, 0.02, 0.2 * a.vessels, in_lung=True)


def _branch(x0: F64, y0: F64, angle: F64, length: F64, bend: F64, points: int) -> tuple[F64, F64, F64]:
    """Curves of a constant bend from starting points; the points run along a new last axis."""
    t = np.linspace(0, 1, points)
    heading = angle[..., None] + bend[..., None] * t
    step = (length / points)[..., None]
    x, y = np.cumsum(np.cos(heading) * step, -1), np.cumsum(np.sin(heading) * step, -1)
    return x0[..., None] + x, y0[..., None] + y, heading
