"""What augmentation may do to a picture, and what it never does."""

from __future__ import annotations

import pytest
import torch
from rrgbench_timm.augmenting import augmented

EXPECTED = [
    0.034232,
    0.105874,
    0.170003,
    0.223146,
    0.246154,
    0.323983,
    0.391142,
    0.431803,
    0.451135,
    0.543594,
    0.597314,
    0.686795,
    0.675447,
    0.789755,
    0.846207,
    0.916293,
]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def left() -> torch.Tensor:
    """Pictures of which the left half is bright."""
    x = torch.full((400, 1, 32, 32), 0.2)
    x[..., :16] = 0.8
    return x


def brighter_on_the_left(x: torch.Tensor) -> torch.Tensor:
    return x[..., :16].mean((1, 2, 3)) > x[..., 16:].mean((1, 2, 3))


def test_the_draws_hang_on_the_generator_alone(left: torch.Tensor) -> None:
    first = augmented(left, generator(1))
    assert torch.equal(first, augmented(left, generator(1)))
    assert not torch.equal(first, augmented(left, generator(2)))
    assert not torch.equal(first[0], first[1])


def test_the_draws_are_those_that_the_shipped_weights_were_trained_with() -> None:
    # Of the version that trained them, for the ramp of 4 x 4 and the seed 0.
    found = augmented(torch.arange(16.0).view(1, 1, 4, 4) / 15, generator(0))
    expected = torch.tensor(EXPECTED).view(1, 1, 4, 4)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_left_stays_left_unless_mirroring_is_asked_for(left: torch.Tensor) -> None:
    plain, mirrored = augmented(left, generator(3)), augmented(left, generator(3), mirror=True)
    assert brighter_on_the_left(plain).all()
    kept = brighter_on_the_left(mirrored)
    assert 150 < kept.sum() < 250  # of 400, a chance of one half: five standard deviations
    assert torch.equal(mirrored[kept], plain[kept])
    assert torch.equal(mirrored[~kept], plain[~kept].flip(-1))


def test_pictures_keep_their_shape_and_range(left: torch.Tensor) -> None:
    out = augmented(left, generator(4))
    assert out.shape == left.shape and out.dtype == left.dtype
    assert out.min() >= 0 and out.max() <= 1


def test_exposure_moves_as_far_as_it_says() -> None:
    # A flat picture of middle grey: contrast leaves it, brightness moves it by up to .1, noise goes out in the mean.
    middle = augmented(torch.full((2000, 1, 16, 16), 0.5), generator(5))[:, 0, 6:10, 6:10]
    shift = middle.mean((1, 2)) - 0.5
    assert 0.09 < shift.max() < 0.13 and -0.13 < shift.min() < -0.09
    assert 0.025 < middle.std((1, 2)).max() < 0.06


def test_places_move_as_far_as_they_say() -> None:
    # A bright dot in the middle moves by at most 6 % of the width in each direction.
    x = torch.zeros(500, 1, 65, 65)
    x[..., 30:35, 30:35] = 1
    seen = augmented(x, generator(6))[:, 0].clamp(min=0.5) - 0.5
    places = torch.arange(65.0) - 32
    for axis in (1, 2):
        moved = (seen.sum(3 - axis) * places).sum(1) / seen.sum((1, 2))
        assert 0.05 * 65 < moved.abs().max() < 0.075 * 65
        assert moved.max() > 3 and moved.min() < -3
