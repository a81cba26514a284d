from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from rrgbench.images import from_file
from rrgbench.normalisation import PRESETS, PresetName, equalised, normalise, stretched, stretched_levels

LEVELS = np.array([[51, 102], [153, 153]], np.uint8)
PIXELS = LEVELS / np.float32(255)  # .2, .4, .6, .6

RADIOGRAPHS = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=12))


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        (
            "imagenet",
            [
                [[(0.2 - 0.485) / 0.229, (0.4 - 0.485) / 0.229], [(0.6 - 0.485) / 0.229] * 2],
                [[(0.2 - 0.456) / 0.224, (0.4 - 0.456) / 0.224], [(0.6 - 0.456) / 0.224] * 2],
                [[(0.2 - 0.406) / 0.225, (0.4 - 0.406) / 0.225], [(0.6 - 0.406) / 0.225] * 2],
            ],
        ),
        ("xrv", [[[-614.4, -204.8], [204.8, 204.8]]]),
        # Least and greatest to 0 and 255, rounded down: 0, 127, 255.
        (
            "maira",
            [[[-0.5307 / 0.2583, (127 / 255 - 0.5307) / 0.2583], [(1 - 0.5307) / 0.2583] * 2]] * 3,
        ),
        # The three pixels above the least level share 0..255: 1 of them, then 3.
        ("mimic-jpg", [[[0, 85 / 255], [1, 1]]]),
    ],
)
def test_a_fixed_image_has_exact_values(preset: PresetName, expected: list[list[list[float]]]) -> None:
    out = normalise(PIXELS, preset)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)


def test_xrv_goes_from_minus_1024_to_1024() -> None:
    ends = normalise(np.array([[0, 0.5, 1]], np.float32), "xrv")
    assert ends.tolist() == [[[-1024, 0, 1024]]]


def test_equalising_gives_what_opencv_gives() -> None:
    # cv2.equalizeHist of OpenCV 5.0 gave the right one.
    given = [[10, 10, 20, 20], [20, 30, 30, 30], [40, 40, 40, 40], [50, 60, 70, 70]]
    expected = [[0, 0, 55, 55], [55, 109, 109, 109], [182, 182, 182, 182], [200, 219, 255, 255]]
    assert equalised(np.array(given, np.uint8)).tolist() == expected


@given(RADIOGRAPHS)
def test_equalising_keeps_the_order_and_fills_the_range(levels: np.ndarray) -> None:
    out = equalised(levels)
    if levels.min() == levels.max():
        assert (out == levels).all()
        return
    assert (out.min(), out.max()) == (0, 255)
    order = np.argsort(levels, axis=None)
    assert (np.diff(out.ravel()[order].astype(int)) >= 0).all()


@given(RADIOGRAPHS, st.integers(0, 40))
def test_stretching_forgets_brightness_and_contrast(levels: np.ndarray, brighter: int) -> None:
    grey = levels.astype(np.int64)
    np.testing.assert_allclose(stretched(grey * 3 + brighter), stretched(grey), atol=1e-6)
    assert stretched(grey).max() == (levels.max() > levels.min())


@pytest.mark.parametrize("depth", [255, 65535])
def test_levels_that_are_stretched_already_stay(depth: int) -> None:
    stored = np.arange(256).reshape(16, 16) * (depth // 255)
    assert (stretched_levels((stored / np.float32(depth)).astype(np.float32)) == np.arange(256).reshape(16, 16)).all()


def test_an_image_of_one_value_stays_finite() -> None:
    for preset in PRESETS:
        assert np.isfinite(normalise(np.full((3, 4), 0.3, np.float32), preset)).all()


def test_the_given_pixels_are_not_changed() -> None:
    before = PIXELS.copy()
    for preset in PRESETS:
        normalise(PIXELS, preset)
    assert (before == PIXELS).all()


def test_a_real_image_is_evened_out(shared: Path) -> None:
    file = next((shared / "nih" / "images").iterdir())
    grey = normalise(from_file(file.parent, file.name, "PA", "here").read(), "mimic-jpg")
    shares = [(grey <= at).mean() for at in (0.25, 0.5, 0.75)]
    np.testing.assert_allclose(shares, [0.25, 0.5, 0.75], atol=0.06)
