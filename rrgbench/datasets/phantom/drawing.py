"""The radiograph of a study, and where on it each finding is.

The image is a sum of attenuations (see ``canvas``): the normal chest, then each condition; then it is blurred, exposed,
made noisy and rounded to 8 bits.
"""

from __future__ import annotations

from rrgbench.datasets.phantom import population as who
from rrgbench.datasets.phantom.body import paint_body
from rrgbench.datasets.phantom.canvas import F32, Canvas
from rrgbench.datasets.phantom.chest import Chest
from rrgbench.datasets.phantom.conditions import plan
from rrgbench.datasets.phantom.population import Visit
from rrgbench.types import Box


def draw(visit: Visit, size: int) -> F32:
    """The radiograph: float32 of shape (size, size) in 0..1."""
    chest = Chest(visit)
    canvas = Canvas(chest, size)
    paint_body(canvas)
    for condition in visit.conditions:
        for mark in plan(chest, condition):
            mark.paint(canvas)
    return canvas.expose()


def boxes(visit: Visit) -> dict[str, tuple[Box, ...]]:
    """Where each present label is, by label; a label is also where its children are."""
    chest = Chest(visit)
    found: dict[str, list[Box]] = {}
    for condition in visit.conditions:
        here = [chest.box(corners) for mark in plan(chest, condition) for corners in mark.boxes]
        label: str | None = condition.label
        while label:
            found.setdefault(label, []).extend(box for box in here if box)
            label = who.PARENT.get(label)
    return {label: tuple(places) for label, places in found.items()}
