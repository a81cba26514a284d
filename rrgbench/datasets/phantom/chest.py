"""The geometry of one study: the contours of the chest, and where its parts lie.

Coordinates are fractions of the image's side, x to the image's right, y down, in a frame that turns with the patient;
the patient's right is on the image's left. Contours are tables by height or by distance from the midline.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from rrgbench.datasets.phantom import population as who
from rrgbench.datasets.phantom.population import Condition, Visit
from rrgbench.types import Box

F64 = npt.NDArray[np.float64]
Corners = tuple[float, float, float, float]  # x0, y0, x1, y1 in the patient's frame

RIGHT, LEFT = -1, 1  # the sign of the patient's sides along x
ENTRIES = 1024  # of a table
LOWEST, REACH = -0.15, 1.3  # tables by height run from -0.15 to 1.15, those by distance from 0 to 0.65
HEIGHTS = np.linspace(LOWEST, LOWEST + REACH, ENTRIES)


def sides(condition: Condition) -> tuple[int, ...]:
    """The signs of the sides that a condition is on."""
    return {"left": (LEFT,), "right": (RIGHT,), "bilateral": (RIGHT, LEFT)}.get(condition.side or "", ())


def smooth(x: F64) -> F64:
    """A smooth step from 0 at 0 to 1 at 1."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3 - 2 * x)


class Chest:
    """The geometry of one study: contours as tables by height, and where things lie."""

    def __init__(self, visit: Visit) -> None:
        self.visit = visit
        self.anatomy = a = visit.anatomy
        self.acquisition = q = visit.acquisition
        by_label = {condition.label: condition for condition in visit.conditions}
        poor = 1 - q.inspiration
        self.half = a.half_width
        self.lift = {RIGHT: 0.0, LEFT: 0.0}
        collapse = by_label.get(who.ATELECTASIS)
        if collapse:
            for side in sides(collapse):
                self.lift[side] = (0.015 if collapse.form == "linear" else 0.055) * collapse.extent
        self.dome = {
            RIGHT: a.dome - 0.085 * poor - self.lift[RIGHT],
            LEFT: a.dome + a.left_drop - 0.085 * poor - self.lift[LEFT],
        }
        enlarged = by_label.get(who.CARDIOMEGALY)
        ratio = 0.502 + 0.15 * enlarged.extent if enlarged else a.heart
        # The heart looks larger on an AP image (it is further from the detector) and in poor inspiration.
        self.heart_width = ratio * 2 * self.half * q.magnify * (1 + 0.1 * poor)
        wide = by_label.get(who.MEDIASTINUM)
        self.wide = 0.01 + 0.042 * wide.extent if wide else 0.0
        self.widens = (wide.at[0] if wide else 0.5, wide.at[1] if wide else 0.5)
        edema = by_label.get(who.EDEMA)
        self.congestion = q.supine + (0.1 + 0.7 * edema.extent if edema else 0.0)
        self.angle = math.radians(q.angle)
        self._tables(poor)

    def _tables(self, poor: float) -> None:
        a, q = self.anatomy, self.acquisition
        lung = 0.6 * (max(self.dome.values()) - a.apex)
        t = np.clip((HEIGHTS - a.apex) / lung, 0, 1)
        top = 0.12  # where the apex lies, from the midline
        outer = top + (self.half - top) * np.sqrt(1 - (1 - t) ** 2.2)
        outer[a.apex > HEIGHTS] = -1
        bump = np.exp(-(((HEIGHTS - a.apex - 0.17) / 0.13) ** 2))
        edge = {}
        for side in (RIGHT, LEFT):
            near = top - (top - a.mediastinum * q.magnify) * np.sqrt(1 - (1 - np.clip(t * 2.5, 0, 1)) ** 2)
            share = self.widens[0] if side == LEFT else 1 - self.widens[0]
            near = near + self.wide * (0.5 + share) * bump - side * 0.25 * q.turn
            if side == LEFT:
                near = near + a.knob * np.exp(-(((HEIGHTS - a.apex - 0.175) / 0.032) ** 2))
                near = near + 0.4 * a.knob * np.exp(-(((HEIGHTS - a.apex - 0.26) / 0.03) ** 2))
            edge[side] = near
        d = np.linspace(0, REACH / 2, ENTRIES)
        floor = {
            side: self.dome[side]
            + a.curve * ((d - 0.5 * self.half) / (0.5 * self.half)) ** 2 * np.where(d > 0.5 * self.half, 1.5, 0.35)
            for side in (RIGHT, LEFT)
        }
        # Rows: the patient's right, then left.
        self.outer = outer
        self.inner = np.stack([edge[RIGHT], edge[LEFT]])
        self.floor = np.stack([floor[RIGHT], floor[LEFT]])
        self.middle = 0.5 + a.spine_bend * np.sin(math.pi * HEIGHTS)
        neck, shoulder, torso = 0.085 + 0.02 * a.fat, 0.56, self.half + 0.06 + 0.08 * a.fat
        rise = neck + (shoulder - neck) * smooth((HEIGHTS + 0.02) / 0.2) ** 0.8
        self.skin = rise - (shoulder - torso) * smooth((HEIGHTS - 0.26) / 0.4)

    def at_height(self, table: F64, y: float) -> float:
        """A table's value at a height."""
        return float(np.interp(y, HEIGHTS, table))

    def floor_at(self, side: int, d: float) -> float:
        """The diaphragm's y at a distance from the midline."""
        return float(np.interp(d, np.linspace(0, REACH / 2, ENTRIES), self.floor[int(side > 0)]))

    def spot(self, side: int, down: float, out: float) -> tuple[float, float]:
        """A point of a lung: ``down`` from apex (0) to diaphragm (1), ``out`` from mediastinum (0) to wall (1)."""
        y = self.anatomy.apex + down * (self.dome[side] - self.anatomy.apex)
        near, far = self.at_height(self.inner[int(side > 0)], y), self.at_height(self.outer, y)
        return self.at_height(self.middle, y) + side * (near + out * (far - near)), y

    def heart(self) -> tuple[float, float, float, float, float]:
        """The heart's main ellipse: centre x and y, half axes along and across, tilt in radians."""
        width = self.heart_width
        tilt = self.anatomy.heart_tilt * (0.5 + 0.5 * self.acquisition.inspiration)
        along, across = 0.56, 0.42
        scale = 0.5 * width / math.hypot(along * math.cos(tilt), across * math.sin(tilt))
        bottom = self.dome[LEFT] + 0.035
        half_height = scale * math.hypot(along * math.sin(tilt), across * math.cos(tilt))
        return 0.5 + 0.18 * width + self.acquisition.turn, bottom - half_height, along * scale, across * scale, tilt

    def to_image(self, x: F64, y: F64) -> tuple[F64, F64]:
        """From the patient's frame to fractions of the image."""
        q = self.acquisition
        cos, sin = math.cos(self.angle) * q.zoom, math.sin(self.angle) * q.zoom
        dx, dy = x - 0.5, y - 0.5
        return 0.5 + q.shift[0] + cos * dx - sin * dy, 0.5 + q.shift[1] + sin * dx + cos * dy

    def box(self, corners: Corners) -> Box | None:
        """The upright box, in the image, of one in the patient's frame; None where nothing of it is in the image."""
        x0, y0, x1, y1 = corners
        x, y = self.to_image(np.array([x0, x1, x1, x0]), np.array([y0, y0, y1, y1]))
        left, right = float(np.clip(x.min(), 0, 1)), float(np.clip(x.max(), 0, 1))
        upper, lower = float(np.clip(y.min(), 0, 1)), float(np.clip(y.max(), 0, 1))
        if right - left < 0.005 or lower - upper < 0.005:
            return None
        return Box(round(left, 4), round(upper, 4), round(right - left, 4), round(lower - upper, 4))
