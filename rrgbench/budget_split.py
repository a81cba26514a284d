"""What each of two stages of a system loses, from the scores of four corners: each stage without errors and with.

With N the score where neither stage errs, E where only the encoder does, W where only the writer does and B where both
do, the encoder loses N - E before the writer errs and W - B after; the writer loses N - W before the encoder errs and
E - B after. A stage's loss is the mean of its two (the Shapley value of two players: Shapley, Contributions to the
Theory of Games II, 1953). Both together are N - B whatever the interaction, (W - B) - (N - E).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from rrgbench import stats

Order = Literal["both", "encoder first", "writer first"]


@dataclass(frozen=True)
class Loss:
    """Points of a score that are lost, with their 95 % interval; below 0 they are won.

    ``share`` is of the system's whole loss, None where this may be 0.
    """

    value: float
    ci: stats.Interval | None
    share: float | None = None
    share_ci: stats.Interval | None = None


@dataclass(frozen=True)
class Split:
    """``whole`` is ``rest`` (lost where neither stage errs; None where no best value is known) plus ``together``.

    ``together`` is ``by_encoder`` plus ``by_writer``, with half of ``interaction`` in either. Where a corner is
    missing, ``order`` says whose errors were brought in first, and there is no interaction; where two are, neither
    stage's loss is known.
    """

    whole: Loss
    rest: Loss | None
    together: Loss
    by_encoder: Loss | None = None
    by_writer: Loss | None = None
    interaction: Loss | None = None
    order: Order | None = None


@dataclass(frozen=True)
class Corners:
    """A score, higher is better, in the four corners; None where no run is there.

    Each is an array of the score of the data, then of ``resamples`` resamples, then of the data without each patient
    (or group), with the same draws in all; or of the first alone, where there can be no interval.
    """

    neither: stats.Array
    encoder: stats.Array | None
    writer: stats.Array | None
    both: stats.Array
    resamples: int

    def split(self, best: float | None) -> Split:
        """What each stage loses of what lies between ``best`` (None: the score where neither errs) and the system."""
        whole = (self.neither if best is None else np.full_like(self.neither, best)) - self.both
        interval = self._interval(whole)
        shown = interval is not None and interval[0] > 0

        def loss(points: stats.Array) -> Loss:
            plain = float(points[0]), self._interval(points)
            share = stats.divide(points, whole) if shown else None
            return Loss(*plain) if share is None else Loss(*plain, float(share[0]), self._interval(share))

        known = loss(whole), None if best is None else loss(best - self.neither), loss(self.neither - self.both)
        first = None if self.encoder is None else (self.neither - self.encoder, self.encoder - self.both)
        last = None if self.writer is None else (self.writer - self.both, self.neither - self.writer)
        if first and last:
            by_encoder, by_writer = ((one + other) / 2 for one, other in zip(first, last, strict=True))
            return Split(*known, loss(by_encoder), loss(by_writer), loss(last[0] - first[0]), "both")
        if one := first or last:
            return Split(*known, loss(one[0]), loss(one[1]), None, "encoder first" if first else "writer first")
        return Split(*known)

    def _interval(self, values: stats.Array) -> stats.Interval | None:
        if len(values) == 1:
            return None
        return stats.bca_interval(float(values[0]), values[1 : 1 + self.resamples], values[1 + self.resamples :])
