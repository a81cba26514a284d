"""Learning-rate schedules as closed forms: the share of the peak at a step hangs on the step's number alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

from rrgbench_timm.recipe import Recipe

# The 1cycle policy of Smith and Topin, "Super-Convergence" (2018), with torch's OneCycleLR's numbers: from 1/25 of the
# peak up to it over 30 % of the steps, then down to 1/10,000 of the start, both by a half cosine. The momentum stays.
RISE, START, END = 0.3, 1 / 25, 1 / 25 / 1e4


def factor(recipe: Recipe, steps_per_epoch: int) -> Callable[[int], float]:
    """The share of the peak learning rate, 0..1, at each step of the optimiser, from 0 to epochs * steps_per_epoch - 1.

    Warm-up, of W = warmup * steps_per_epoch steps: (step + 1) / (W + 1), while step < W. Then, over the T steps in all:
    ``cosine``: (1 + cos(pi (step - W) / (T - W))) / 2, which would be 0 at step T (Loshchilov and Hutter, "SGDR", 2017,
    equation 5, without restarts). ``step``: decay to the power of the whole ``decay_epochs`` since the warm-up.
    ``plateau``: 1, for ``Plateau`` to lower. ``one-cycle`` has no other warm-up than its own.
    """
    warm, total = recipe.warmup * steps_per_epoch, recipe.epochs * steps_per_epoch
    if recipe.schedule == "one-cycle":
        return lambda step: _one_cycle(step, total)

    def share(step: int) -> float:
        if step < warm:
            return (step + 1) / (warm + 1)
        if recipe.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1.0, total - warm))))
        if recipe.schedule == "step":
            return float(recipe.decay ** int((step - warm) // (recipe.decay_epochs * steps_per_epoch)))
        return 1.0

    return share


def _one_cycle(step: int, total: int) -> float:
    peak, end = RISE * total - 1, total - 1
    if step <= peak:
        return _between(START, 1.0, step / peak)
    return _between(1.0, END, min(1.0, (step - peak) / (end - peak)))


def _between(start: float, end: float, done: float) -> float:
    """From start to end by a half cosine."""
    return end + (start - end) / 2 * (1 + math.cos(math.pi * done))


@dataclass
class Plateau:
    """A factor that is multiplied by ``decay`` after ``epochs`` epochs in a row without a better score.

    Better is any higher score than the best so far (torch's ReduceLROnPlateau with mode="max", threshold=0, eps=0 and
    patience=epochs - 1, as its patience is how many are let pass); NaN never is.
    """

    decay: float
    epochs: int
    factor: float = 1.0
    best: float | None = None
    waited: int = 0

    def step(self, score: float) -> float:
        """Take the score of one more epoch; the factor from now on."""
        if not math.isnan(score) and (self.best is None or score > self.best):
            self.best, self.waited = score, 0
        else:
            self.waited += 1
        if self.waited >= self.epochs:
            self.factor, self.waited = self.factor * self.decay, 0
        return self.factor

    def state(self) -> dict[str, float | int | None]:
        """All of it, as JSON can hold it; ``Plateau.of`` makes it again."""
        return asdict(self)

    @classmethod
    def of(cls, state: Mapping[str, float | int | None]) -> Plateau:
        """The one that ``state`` was taken of."""
        return cls(**state)  # type: ignore[arg-type]
