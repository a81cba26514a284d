"""The schedules against torch's, and against formulas written anew."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rrgbench_timm.recipe import Recipe
from rrgbench_timm.schedules import Plateau, factor


def trace(steps_per_epoch: int, **options: Any) -> list[float]:
    recipe = Recipe(**options)
    share = factor(recipe, steps_per_epoch)
    return [share(step) for step in range(recipe.epochs * steps_per_epoch)]


def torchs(make: Any, steps: int, lr: float = 1.0) -> list[float]:
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler, out = make(optimiser), []
    for step in range(steps):
        out.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        if step < steps - 1:
            scheduler.step()
    return out


def test_warm_up_and_cosine_are_the_shipped_recipes() -> None:
    # The numbers that the shipped weights were trained with: a warm-up of one epoch of 4 steps, 3 epochs in all.
    found = trace(4, epochs=3, warmup=1.0)
    assert found[:5] == [1 / 5, 2 / 5, 3 / 5, 4 / 5, 1.0]
    assert found[4:] == [0.5 * (1 + math.cos(math.pi * i / 8)) for i in range(8)]


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(1, 30), st.floats(0, 8))
def test_cosine_is_the_formula(epochs: int, steps: int, warmup: float) -> None:
    warm, total = warmup * steps, epochs * steps
    rise = np.arange(1, total + 1) / (warm + 1)
    fall = (1 + np.cos(np.pi * (np.arange(total) - warm) / max(total - warm, 1))) / 2
    expected = np.where(np.arange(total) < warm, rise, fall)
    np.testing.assert_allclose(trace(steps, epochs=epochs, warmup=warmup), expected, atol=1e-12)


@pytest.mark.parametrize(("epochs", "steps"), [(1, 5), (3, 7), (12, 10), (2, 1), (5, 33)])
def test_one_cycle_is_torchs(epochs: int, steps: int) -> None:
    total = epochs * steps
    reference = torchs(
        lambda o: torch.optim.lr_scheduler.OneCycleLR(o, max_lr=1.0, total_steps=total, cycle_momentum=False), total
    )
    found = trace(steps, epochs=epochs, schedule="one-cycle", warmup=2.0)
    np.testing.assert_allclose(found, reference, rtol=0, atol=1e-12)
    assert found[-1] == pytest.approx(1 / 25 / 1e4)


@pytest.mark.parametrize(("decay", "decay_epochs"), [(0.1, 4), (0.5, 1), (0.0, 2)])
def test_step_is_torchs_after_the_warm_up(decay: float, decay_epochs: int) -> None:
    steps = 3
    reference = torchs(
        lambda o: torch.optim.lr_scheduler.StepLR(o, step_size=decay_epochs * steps, gamma=decay), 10 * steps
    )
    options = {"schedule": "step", "decay": decay, "decay_epochs": decay_epochs}
    np.testing.assert_allclose(trace(steps, epochs=10, warmup=0, **options), reference, rtol=1e-12)
    warmed = trace(steps, epochs=12, warmup=2, **options)
    np.testing.assert_allclose(warmed[:6], np.arange(1, 7) / 7)
    np.testing.assert_allclose(warmed[6:], reference, rtol=1e-12)


def test_plateau_warms_up_and_then_stays() -> None:
    assert trace(2, epochs=3, warmup=1, schedule="plateau") == [1 / 3, 2 / 3, 1, 1, 1, 1]


@given(
    st.sampled_from(["cosine", "step", "plateau", "one-cycle"]), st.integers(1, 5), st.integers(1, 9), st.floats(0, 6)
)
def test_every_schedule_stays_within_0_and_the_peak(schedule: Any, epochs: int, steps: int, warmup: float) -> None:
    found = trace(steps, epochs=epochs, schedule=schedule, warmup=warmup)
    assert all(0 <= share <= 1 + 1e-12 for share in found)


scores = st.lists(st.one_of(st.floats(0, 1), st.sampled_from([0.5, 0.75, float("nan")])), max_size=30)


@settings(deadline=None)
@given(scores, st.integers(1, 4), st.sampled_from([0.1, 0.5]))
def test_plateau_is_torchs(scores: list[float], epochs: int, decay: float) -> None:
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimiser, mode="max", factor=decay, patience=epochs - 1, threshold=0, eps=0
    )
    plateau = Plateau(decay, epochs)
    for score in scores:
        reference.step(score)
        factor = plateau.step(score)
        assert factor == plateau.factor == pytest.approx(optimiser.param_groups[0]["lr"], rel=1e-12)


@given(scores, scores)
def test_plateau_goes_on_from_its_state(before: list[float], after: list[float]) -> None:
    whole = Plateau(0.5, 2)
    for score in before:
        whole.step(score)
    resumed = Plateau.of(json.loads(json.dumps(whole.state(), allow_nan=False)))
    assert resumed == whole
    assert [resumed.step(score) for score in after] == [whole.step(score) for score in after]
