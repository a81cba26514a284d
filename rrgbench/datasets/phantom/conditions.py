"""What each condition adds to the chest.

A condition is planned first (where it will be) and painted later, so that its boxes cost no drawing. All shapes and
amounts were chosen by eye, and by how well a small network learned to see them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from rrgbench.datasets.phantom import population as who
from rrgbench.datasets.phantom.body import clavicle, clavicle_at, rib_at, ribs
from rrgbench.datasets.phantom.canvas import Canvas, dome, take
from rrgbench.datasets.phantom.chest import F64, HEIGHTS, LEFT, RIGHT, Chest, Corners, sides, smooth
from rrgbench.datasets.phantom.population import Condition
from rrgbench.labels import SUPPORT_DEVICES

Point = tuple[float, float]


@dataclass(frozen=True)
class Mark:
    """A condition on one side, planned: where it will be, and what paints it."""

    boxes: tuple[Corners, ...]
    paint: Callable[[Canvas], None]


def plan(chest: Chest, condition: Condition) -> list[Mark]:
    """What a condition draws, a mark for each side; one mark where it has no side."""
    if condition.side is None:
        return [_MIDDLE[condition.label](chest, condition)]
    return [_SIDED[condition.label](chest, condition, side) for side in sides(condition)]


def _all(marks: Sequence[Mark]) -> Mark:
    """Several marks as one, each in its own boxes."""

    def paint(canvas: Canvas) -> None:
        for mark in marks:
            mark.paint(canvas)

    return Mark(tuple(box for mark in marks for box in mark.boxes), paint)


def _around(x: float, y: float, rx: float, ry: float) -> Corners:
    return x - rx, y - ry, x + rx, y + ry


def _on(side: int, near: float, upper: float, far: float, lower: float) -> Corners:
    """A box on one side, by its distances from the midline."""
    return (0.5 + near, upper, 0.5 + far, lower) if side == LEFT else (0.5 - far, upper, 0.5 - near, lower)


# Heart and mediastinum: the chest's geometry shows them already


def _nothing_more(canvas: Canvas) -> None:
    pass


def _cardiomegaly(chest: Chest, condition: Condition) -> Mark:
    x, y, along, across, tilt = chest.heart()
    width, tall = chest.heart_width, math.hypot(along * math.sin(tilt), across * math.cos(tilt))
    middle = 0.5 + chest.acquisition.turn
    return Mark(((middle - 0.32 * width, y - tall, x + 0.5 * width, y + tall),), _nothing_more)


def _wide_mediastinum(chest: Chest, condition: Condition) -> Mark:
    y = chest.anatomy.apex + 0.17
    right, left = (chest.at_height(chest.inner[i], y) for i in (0, 1))
    return Mark(((0.5 - right - 0.01, y - 0.13, 0.5 + left + 0.01, y + 0.13),), _nothing_more)


# Lungs

_ZONES = {"upper": (0.22, 0.4), "mid": (0.45, 0.6), "lower": (0.68, 0.88)}


def _spot_in_zone(chest: Chest, condition: Condition, side: int) -> Point:
    low, high = _ZONES[condition.form]
    u, v = (condition.at[0], condition.at[1]) if side == RIGHT else (condition.at[1], condition.at[0])
    return chest.spot(side, low + (high - low) * u, 0.25 + 0.5 * v)


def _opacity(chest: Chest, condition: Condition, side: int) -> Mark:
    x, y = _spot_in_zone(chest, condition, side)
    r = 0.05 + 0.05 * condition.at[2] + 0.02 * condition.extent

    def paint(canvas: Canvas) -> None:
        canvas.haze(x, y, r, 0.9 * r, 0.14 + 0.3 * condition.extent, 0.25)

    return Mark((_around(x, y, r, 0.9 * r),), paint)


def _lesion(chest: Chest, condition: Condition, side: int) -> Mark:
    """A mass, a nodule, or nodules: two in the right lung and one in the left."""
    if condition.form == "mass":
        return _mass(chest, condition, side)
    count = 1 if condition.form == "nodule" or side == LEFT else 2
    return _all([_nodule(chest, condition, side, i + (side == LEFT)) for i in range(count)])


def _mass(chest: Chest, condition: Condition, side: int) -> Mark:
    e, at = condition.extent, condition.at
    x, y = chest.spot(side, 0.15 + 0.7 * at[0], 0.15 + 0.65 * at[1])
    r, amount, angle = 0.03 + 0.035 * e, 0.14 + 0.16 * e, 6 * at[3]

    def paint(canvas: Canvas) -> None:
        canvas.ball(x, y, r, amount, soft=0.8, stretch=0.8 + 0.4 * at[2])
        canvas.ball(x + 0.5 * r * math.cos(angle), y + 0.5 * r * math.sin(angle), 0.7 * r, 0.5 * amount, soft=0.8)

    return Mark((_around(x, y, 1.1 * r, 1.1 * r),), paint)


def _nodule(chest: Chest, condition: Condition, side: int, which: int) -> Mark:
    e, at = condition.extent, condition.at
    down, out = (at[0] + 0.37 * which) % 1, (at[1] + 0.61 * which) % 1
    x, y = chest.spot(side, 0.12 + 0.76 * down, 0.15 + 0.7 * out)
    r = (0.016 + 0.017 * e) * (0.85 + 0.15 * at[2] if which else 1)

    def paint(canvas: Canvas) -> None:
        canvas.ball(x, y, r, 0.11 + 0.17 * e)

    return Mark((_around(x, y, r, r),), paint)


def _edema(chest: Chest, condition: Condition, side: int) -> Mark:
    """Haze about the hila, and Kerley's B lines: short and level, at the wall of the lower lungs."""
    e = condition.extent
    x, y = chest.spot(side, 0.56, 0.35)
    rx, ry = 0.1 + 0.03 * e, 0.17 + 0.05 * e
    share = 1.0 if side == RIGHT else 0.85 + 0.15 * condition.at[0]
    down = _random(condition, side).uniform(0.55, 0.95, int(3 + 12 * e))

    def paint(canvas: Canvas) -> None:
        canvas.haze(x, y, rx, ry, (0.03 + 0.32 * e) * share, 0.3)
        height = chest.anatomy.apex + down[:, None] * (chest.dome[side] - chest.anatomy.apex)
        wall = np.interp(height, HEIGHTS, chest.outer)
        lines = 0.5 + side * (wall - 0.008 - (0.03 + 0.015 * e) * np.linspace(0, 1, canvas.points(0.04)))
        canvas.stroke("fine", lines, np.broadcast_to(height, lines.shape), 0.0008 * (0.1 + e))

    return Mark((_around(x, y, 1.1 * rx, 1.05 * ry),), paint)


def _random(condition: Condition, side: int) -> np.random.Generator:
    """Random numbers for the details of a condition, the same whenever it is drawn."""
    return np.random.default_rng((int(condition.at[3] * 2**32), int(side == LEFT)))


def _consolidation(chest: Chest, condition: Condition, side: int) -> Mark:
    """Even and dense, with air left in the bronchi."""
    e = condition.extent
    x, y = _spot_in_zone(chest, condition, side)
    rx, ry = 0.075 + 0.045 * e, 0.055 + 0.05 * e

    def paint(canvas: Canvas) -> None:
        canvas.haze(x, y, rx, ry, 0.3 + 0.45 * e, 0.06, sharp=2.2)
        for i in range(3):
            angle = 0.4 + 0.5 * i + condition.at[2]
            dx, dy = 0.6 * rx * math.cos(angle), 0.6 * ry * math.sin(angle)
            canvas.bar(x - dx, y - dy, x + dx, y + dy, 0.0035, -0.07 * (0.3 + e), in_lung=True)

    return Mark((_around(x, y, rx, ry),), paint)


def _pneumonia(chest: Chest, condition: Condition, side: int) -> Mark:
    """Patchy: a group of small clouds that run together."""
    e = condition.extent
    x, y = _spot_in_zone(chest, condition, side)
    r = 0.06 + 0.05 * e
    clouds = np.clip(_random(condition, side).normal(0, 0.55, (5 + int(5 * e), 3)), -0.9, 0.9).tolist()

    def paint(canvas: Canvas) -> None:
        for dx, dy, grow in clouds:
            own = r * (0.34 + 0.1 * grow)
            canvas.haze(x + r * dx, y + r * dy, own, own, 0.14 + 0.22 * e, 0.5)

    return Mark((_around(x, y, r, r),), paint)


def _atelectasis(chest: Chest, condition: Condition, side: int) -> Mark:
    """Bands above the diaphragm, or a dense base; the diaphragm rises, too (see ``Chest``)."""
    return (_linear if condition.form == "linear" else _basal)(chest, condition, side)


def _linear(chest: Chest, condition: Condition, side: int) -> Mark:
    e, at = condition.extent, condition.at
    half, rise = 0.04 + 0.025 * e + 0.02 * at[2], 0.5 * (at[2] - 0.6) * side
    bands = []
    for i in range(1 + int(2 * e + at[3])):
        x, y = chest.spot(side, 0.9 - 0.11 * i - 0.1 * at[0], 0.35 + 0.35 * ((at[1] + 0.4 * i) % 1))
        bands.append((x - half, y - rise * half, x + half, y + rise * half))

    def paint(canvas: Canvas) -> None:
        for x0, y0, x1, y1 in bands:
            canvas.bar(x0, y0, x1, y1, 0.0055 + 0.003 * at[3], 0.11 + 0.15 * e, in_lung=True)

    tall = abs(rise) * half + 0.012
    middle = [(y0 + y1) / 2 for _, y0, _, y1 in bands]
    left, right = min(x0 for x0, *_ in bands), max(x1 for _, _, x1, _ in bands)
    return Mark(((left, min(middle) - tall, right, max(middle) + tall),), paint)


def _basal(chest: Chest, condition: Condition, side: int) -> Mark:
    e = condition.extent
    x, y = chest.spot(side, 0.93, 0.3)

    def paint(canvas: Canvas) -> None:
        canvas.haze(x, y, 0.09, 0.05 + 0.03 * e, 0.25 + 0.35 * e, 0.1, sharp=1.5)
        canvas.bar(x - 0.05, y - 0.06, x + 0.05, y - 0.06 + 0.03 * side, 0.004, 0.08 + 0.08 * e, in_lung=True)

    return Mark(((x - 0.09, y - 0.08, x + 0.09, y + 0.06),), paint)


# Pleura


def _pneumothorax(chest: Chest, condition: Condition, side: int) -> Mark:
    """The lung's edge, drawn in from the chest wall; beyond it air without vessels."""
    e, a = condition.extent, chest.anatomy
    gap = 0.022 + 0.1 * e
    reach = 0.28 + 0.3 * e  # how far down it tapers out
    taper = 1 - smooth((HEIGHTS - a.apex) / reach)
    edge = np.interp(HEIGHTS - 1.1 * gap * taper, HEIGHTS, chest.outer) - 0.7 * gap * taper
    slope = np.hypot(1, np.gradient(edge, HEIGHTS))
    lower = a.apex + 0.8 * reach
    far = max(chest.at_height(chest.outer, lower), 0.2) + 0.005

    def paint(canvas: Canvas) -> None:
        at = canvas.window(_on(side, 0.0, a.apex - 0.02, 0.5, a.apex + reach + 0.02))
        beyond = (canvas.d[at] - take(edge, canvas.row[at])) / take(slope, canvas.row[at])
        air = np.clip(beyond * 250, 0, 1) * canvas.on(side, at)
        line = np.exp(-((beyond / 0.0035) ** 2)) * canvas.on(side, at)
        canvas.total[at] += canvas.lung[at] * (0.08 * line - (0.055 + 0.055 * e) * air)
        canvas.aerated[at] *= 1 - air

    return Mark((_on(side, 0.06, a.apex - 0.005, far, lower),), paint)


def _effusion(chest: Chest, condition: Condition, side: int) -> Mark:
    """Fluid that fills the angle from below, higher at the wall; on half of the AP images it lies behind the lung."""
    e = condition.extent
    if condition.side == "bilateral" and (side == RIGHT) != (condition.at[0] < 0.5):
        e *= 0.65
    lying = chest.acquisition.view == "AP" and condition.at[3] < 0.5
    share, soft = (0.32 + 0.38 * e, 0.05) if lying else (0.95, 0.01)
    angle = chest.floor_at(side, 0.93 * chest.half)
    level = angle - 0.006 - 0.32 * e**1.5
    sag = 0.05 + 0.05 * condition.at[1]

    def paint(canvas: Canvas) -> None:
        at = canvas.window(_on(side, 0.0, level - 6 * soft, 0.5, 1.0))
        out = canvas.d[at] / chest.half
        depth = canvas.y[at] - (level + sag * (1 - out * out))
        fluid = 1 / (1 + np.exp(np.clip(depth / -soft, -20, 20)))
        canvas.fill(at, share * fluid * canvas.on(side, at))

    near = (0.3 if e > 0.35 else 0.55) * chest.half
    return Mark((_on(side, near, level - 0.01, chest.half + 0.005, angle + 0.015),), paint)


def _pleural_other(chest: Chest, condition: Condition, side: int) -> Mark:
    forms = {"apical thickening": _apical_cap, "lateral thickening": _thick_wall, "plaque": _plaques}
    return forms[condition.form](chest, condition, side)


def _apical_cap(chest: Chest, condition: Condition, side: int) -> Mark:
    top, e = chest.anatomy.apex, condition.extent
    lower = top + 0.028 + 0.045 * e

    def paint(canvas: Canvas) -> None:
        at = canvas.window(_on(side, 0.0, top - 0.01, 0.35, top + 0.16))
        border = lower - 5 * (canvas.d[at] - 0.12) ** 2 + 0.01 * canvas.mottle[at]
        cap = np.clip((border - canvas.y[at]) * 120, 0, 1)
        canvas.total[at] += (0.3 + 0.15 * e) * canvas.lung[at] * cap * canvas.on(side, at)

    return Mark((_on(side, 0.07, top - 0.005, 0.2, lower),), paint)


def _thick_wall(chest: Chest, condition: Condition, side: int) -> Mark:
    e, at = condition.extent, condition.at
    top = chest.anatomy.apex + 0.2 + 0.2 * at[0]
    tall, thick = 0.14 + 0.14 * at[1], 0.016 + 0.02 * e
    wall = chest.at_height(chest.outer, top + 0.5 * tall)

    def paint(canvas: Canvas) -> None:
        at = canvas.window(_on(side, 0.1, top, 0.5, top + tall))
        along = (canvas.y[at] - top) / tall
        inward = canvas.outer[at] - canvas.d[at]  # from the wall
        band = np.clip((thick * dome(2 - 4 * np.abs(along - 0.5)) - inward) * 150, 0, 1) * (inward > -0.004)
        canvas.total[at] += (0.16 + 0.1 * e) * band * canvas.on(side, at)

    return Mark((_on(side, wall - thick - 0.015, top, wall + 0.01, top + tall),), paint)


def _plaques(chest: Chest, condition: Condition, side: int) -> Mark:
    """Calcified, on the diaphragm's dome."""
    e, at = condition.extent, condition.at
    pieces = []
    for i in range(3 + int(3 * e)):
        d = chest.half * (0.4 + 0.25 * at[0]) + 0.022 * (i - 2)
        pieces.append((d, chest.floor_at(side, d) - 0.004 - 0.006 * ((at[1] + 0.4 * i) % 1)))

    def paint(canvas: Canvas) -> None:
        for i, (d, y) in enumerate(pieces):
            x, half = 0.5 + side * d, 0.008 + 0.006 * ((at[2] + 0.3 * i) % 1)
            canvas.bar(x - half, y, x + half, y + 0.004 * (i % 2), 0.0042, 0.22 + 0.2 * e)

    ds, ys = zip(*pieces, strict=True)
    return Mark((_on(side, min(ds) - 0.015, min(ys) - 0.012, max(ds) + 0.015, max(ys) + 0.014),), paint)


# Bones


def _fracture(chest: Chest, condition: Condition, side: int) -> Mark:
    if condition.form == "clavicle":
        return _broken_clavicle(chest, condition, side)
    count = 1 if condition.form == "rib" else 2 + int(2.5 * condition.extent)
    return _all([_broken_rib(chest, condition, side, i) for i in range(count)])


def _broken_clavicle(chest: Chest, condition: Condition, side: int) -> Mark:
    e, where = condition.extent, 0.35 + 0.3 * condition.at[0]
    x, y = clavicle_at(chest, side, where)

    def paint(canvas: Canvas) -> None:
        clavicle(canvas, side, 0.018 + 0.024 * e, where)
        canvas.bar(x, y - 0.02, x, y + 0.04, 0.004, -0.09)

    return Mark(((x - 0.04, y - 0.035, x + 0.04, y + 0.06),), paint)


def _broken_rib(chest: Chest, condition: Condition, side: int, which: int) -> Mark:
    """A step: the outer end drops, and the rib bends back to its course within a small window."""
    e, at, spacing = condition.extent, condition.at, chest.anatomy.rib_spacing
    d, y = rib_at(chest, 2 + int(at[0] * 4) + which, 0.55 + 0.27 * ((at[1] + 0.06 * which) % 1))
    x = chest.at_height(chest.middle, y) + side * d
    corners = (x - 0.045, y - 0.6 * spacing, x + 0.045, y + 0.75 * spacing)
    drop = 0.016 + 0.018 * e

    def paint(canvas: Canvas) -> None:
        at_step = canvas.window(corners)
        off = (canvas.x[at_step] - x) * side
        fall = np.clip(1 - off / 0.045, 0, 1) * (off > 0)
        near = np.clip(1.4 - np.abs(canvas.y[at_step] - y) * (2 / spacing), 0, 1)
        canvas.total[at_step] += ribs(canvas, at_step, drop * fall * near) - ribs(canvas, at_step)
        canvas.bar(x, y - 0.014, x + side * 0.005, y + 0.014 + drop, 0.0032, -0.11)
        for dx, dy in ((-0.011, 0.0), (0.013, 0.7 * drop)):  # callus
            canvas.bar(x + side * dx, y + dy - 0.006, x + side * dx, y + dy + 0.006, 0.0075, 0.04 + 0.06 * at[2])

    return Mark((corners,), paint)


# Devices


def _device(chest: Chest, condition: Condition) -> Mark:
    forms = {
        "pacemaker": _pacemaker,
        "central line": _central_line,
        "port": _port,
        "tube": _tube,
        "wires": _sternal_wires,
    }
    return forms[condition.form](chest, condition)


def _in_one_box(marks: Sequence[Mark]) -> Mark:
    x0, y0, x1, y1 = zip(*(box for mark in marks for box in mark.boxes), strict=True)
    return Mark(((min(x0), min(y0), max(x1), max(y1)),), _all(marks).paint)


def _wire(points: Sequence[Point], amount: float) -> Mark:
    length = sum(math.dist(a, b) for a, b in pairwise(points))

    def paint(canvas: Canvas) -> None:
        canvas.stroke("line", *_curve(points, canvas.points(1.2 * length)), amount)

    xs, ys = zip(*points, strict=True)
    return Mark(((min(xs) - 0.01, max(min(ys), 0.0), max(xs) + 0.01, max(ys) + 0.01),), paint)


def _curve(points: Sequence[Point], count: int) -> tuple[F64, F64]:
    """A smooth curve through points: a Catmull-Rom spline."""
    p = np.array(points)
    p = np.vstack([2 * p[0] - p[1], p, 2 * p[-1] - p[-2]])
    u = np.linspace(0, len(p) - 3 - 1e-9, count)
    i = u.astype(int)
    t = (u - i)[:, None]
    a, b, c, d = p[i], p[i + 1], p[i + 2], p[i + 3]
    out = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    return out[:, 0], out[:, 1]


def _disc(x: float, y: float, radius: float, amount: float, stretch: float = 1.0) -> Mark:
    def paint(canvas: Canvas) -> None:
        canvas.ball(x, y, radius, amount, soft=0.25, stretch=stretch)

    return Mark((_around(x, y, radius, radius * stretch),), paint)


def _pacemaker(chest: Chest, condition: Condition) -> Mark:
    at, top = condition.at, chest.anatomy.apex
    side = LEFT if at[0] < 0.85 else RIGHT
    x, y = 0.5 + side * (0.2 + 0.05 * at[1]), top + 0.1 + 0.05 * at[2]
    heart_x, heart_y, _, across, _ = chest.heart()
    way = [(x, y - 0.02), (0.5 + side * 0.1, y - 0.06), (0.472, top + 0.16)]
    parts = [
        _disc(x, y, 0.036, 0.55, stretch=0.85),
        _wire([*way, (0.462, heart_y - 0.08), (heart_x + 0.02, heart_y + 0.6 * across)], 0.0018),
    ]
    if at[3] < 0.6:  # a second lead, to the atrium
        parts.append(_wire([*way, (0.452, heart_y - 0.06), (0.44, heart_y + 0.02)], 0.0016))
    return _in_one_box(parts)


def _central_line(chest: Chest, condition: Condition) -> Mark:
    """Through the right jugular or subclavian vein."""
    at, top = condition.at, chest.anatomy.apex
    tip = (0.468, top + 0.2 + 0.08 * at[0])
    jugular = [(0.42, -0.05), (0.425, 0.05), (0.455, top + 0.06), tip]
    subclavian = [(0.16, 0.2), (0.25, 0.17), (0.36, top + 0.03), (0.45, top + 0.07), tip]
    return _wire(jugular if at[1] < 0.55 else subclavian, 0.0016 + 0.0012 * at[2])


def _port(chest: Chest, condition: Condition) -> Mark:
    top = chest.anatomy.apex
    x, y = 0.28 + 0.04 * condition.at[1], top + 0.13 + 0.03 * condition.at[2]
    way = [(x, y), (0.36, y - 0.06), (0.43, top - 0.02), (0.46, y - 0.02), (0.468, top + 0.24)]
    return _in_one_box([_disc(x, y, 0.018, 0.22), _wire(way, 0.0016)])


def _tube(chest: Chest, condition: Condition) -> Mark:
    """In the windpipe; some with a feeding tube, some with a central line."""
    at, top = condition.at, chest.anatomy.apex
    x, end = 0.506 + 0.7 * chest.acquisition.turn, top + 0.1 + 0.1 * at[0]
    parts = [_wire([(x + dx, -0.05), (x + dx, end)], 0.0018) for dx in (-0.007, 0.007)]
    if at[1] < 0.5:
        floor = chest.dome[LEFT]
        parts.append(_wire([(0.515, -0.05), (0.52, 0.4), (0.53, floor), (0.6, floor + 0.08)], 0.0017))
    marks = [_in_one_box(parts)]
    if at[3] < 0.6:
        marks.append(_central_line(chest, condition))
    return _all(marks)


def _sternal_wires(chest: Chest, condition: Condition) -> Mark:
    x, top = 0.5 + 0.8 * chest.acquisition.turn, chest.anatomy.apex + 0.14
    loops = []
    for i in range(5 + int(2 * condition.at[0])):
        y = top + 0.065 * i
        loop = [(x - 0.014, y), (x, y - 0.012), (x + 0.014, y), (x, y + 0.012), (x - 0.014, y)]
        loops.append(_wire(loop, 0.002 + 0.001 * condition.at[1]))
    return _in_one_box(loops)


_MIDDLE: dict[str, Callable[[Chest, Condition], Mark]] = {
    who.CARDIOMEGALY: _cardiomegaly,
    who.MEDIASTINUM: _wide_mediastinum,
    SUPPORT_DEVICES: _device,
}

_SIDED: dict[str, Callable[[Chest, Condition, int], Mark]] = {
    who.OPACITY: _opacity,
    who.LESION: _lesion,
    who.EDEMA: _edema,
    who.CONSOLIDATION: _consolidation,
    who.PNEUMONIA: _pneumonia,
    who.ATELECTASIS: _atelectasis,
    who.PNEUMOTHORAX: _pneumothorax,
    who.EFFUSION: _effusion,
    who.PLEURAL_OTHER: _pleural_other,
    who.FRACTURE: _fracture,
}
