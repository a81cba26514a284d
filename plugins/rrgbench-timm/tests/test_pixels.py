from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from rrgbench_timm import pixels

from rrgbench.errors import ImageError


def test_scaling_keeps_the_proportions_and_pads_with_black(made: SimpleNamespace) -> None:
    wide = np.full((40, 80), 0.5, np.float32)
    out = pixels.read(made.image(lambda: wide), 80)
    assert out.shape == (80, 80)
    assert (out[20:60] == 128).all()
    assert (out[:20] == 0).all()
    assert (out[60:] == 0).all()


def test_scaling_down_averages(made: SimpleNamespace) -> None:
    stripes = np.tile(np.array([0.0, 1.0], np.float32), (128, 64))
    out = pixels.read(made.image(lambda: stripes), 32)
    assert abs(out.astype(int) - 127)[:, 1:-1].max() <= 1


@pytest.mark.parametrize("shape", [(4, 4, 3), (0, 4), (16,)])
def test_a_picture_of_another_shape_is_refused(made: SimpleNamespace, shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match="The image film "):
        pixels.read(made.image(lambda: np.zeros(shape, np.float32), "film"), 8)
