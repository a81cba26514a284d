from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rrgbench.errors import ImageError
from rrgbench.images import from_file


def palette(levels: list[int], indices: list[int]) -> PIL.Image.Image:
    image = PIL.Image.new("P", (len(indices), 1))
    image.putpalette([level for level in levels for _ in "RGB"])
    image.putdata(indices)
    return image


def row(values: list[Any], mode: str) -> PIL.Image.Image:
    image = PIL.Image.new(mode, (len(values), 1))
    image.putdata(values)
    return image


DEEP = PIL.Image.fromarray(np.array([[0, 4095, 65535]], np.uint16))


@pytest.mark.parametrize(
    ("image", "options", "expected"),
    [
        pytest.param(row([0, 255], "1"), {}, [0, 1], id="1"),
        pytest.param(row([0, 51, 255], "L"), {}, [0, 0.2, 1], id="L"),
        pytest.param(row([0, 51, 255], "L"), {"transparency": 255}, [0, 0.2, 0], id="L with a transparent level"),
        pytest.param(row([(255, 255), (255, 51), (255, 0)], "LA"), {}, [1, 0.2, 0], id="LA"),
        pytest.param(palette([0, 255, 51], [2, 1, 0]), {}, [0.2, 1, 0], id="P"),
        pytest.param(palette([0, 255, 51], [2, 1, 0]), {"transparency": 1}, [0.2, 0, 0], id="P, a transparent index"),
        pytest.param(
            palette([255, 255, 51], [2, 1, 0]), {"transparency": b"\x00\x33\xff"}, [0.2, 0.2, 0], id="P with alpha"
        ),
        # ITU-R 601: .299 red, .587 green, .114 blue.
        pytest.param(row([(51,) * 3, (255, 0, 0), (0, 255, 0)], "RGB"), {}, [0.2, 76 / 255, 150 / 255], id="RGB"),
        pytest.param(row([(51,) * 3, (255,) * 3], "RGB"), {"transparency": (255,) * 3}, [0.2, 0], id="RGB, one colour"),
        pytest.param(row([(255, 255, 255, 51), (255, 255, 255, 0)], "RGBA"), {}, [0.2, 0], id="RGBA"),
        pytest.param(DEEP, {}, [0, 4095 / 65535, 1], id="I;16"),
        pytest.param(DEEP, {"transparency": 65535}, [0, 4095 / 65535, 0], id="I;16 with a transparent level"),
    ],
)
def test_a_png_of_any_mode_becomes_grey_over_black(
    tmp_path: Path, image: PIL.Image.Image, options: dict[str, Any], expected: list[float]
) -> None:
    image.save(tmp_path / "a.png", **options)
    pixels = from_file(tmp_path, "a.png", "PA", "studies.csv, row 1").read()
    assert pixels.dtype == np.float32
    np.testing.assert_allclose(pixels, [expected], atol=1e-6)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_of_any_mode_becomes_grey(tmp_path: Path, mode: str) -> None:
    image = PIL.Image.fromarray(np.repeat([0, 51, 255], 8).astype(np.uint8)[None].repeat(8, 0)).convert("RGB")
    image.convert(mode).save(tmp_path / "a.jpg", quality=100)
    with PIL.Image.open(tmp_path / "a.jpg") as saved:
        assert saved.mode == mode
    pixels = from_file(tmp_path, "a.jpg", "PA", "studies.csv, row 1").read()
    assert pixels.shape == (8, 24)
    np.testing.assert_allclose(pixels[4, [4, 12, 20]], [0, 0.2, 1], atol=0.01)


UPRIGHT = np.array([[0, 51, 102], [153, 204, 255]], np.uint8)


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [  # EXIF 2.3, tag 274: how the stored rows and columns lie in the upright picture
        (1, UPRIGHT),
        (2, UPRIGHT[:, ::-1]),
        (3, UPRIGHT[::-1, ::-1]),
        (4, UPRIGHT[::-1]),
        (5, UPRIGHT.T),
        (6, UPRIGHT.T[::-1]),
        (7, UPRIGHT.T[::-1, ::-1]),
        (8, UPRIGHT.T[:, ::-1]),
    ],
)
def test_a_photograph_is_turned_upright(tmp_path: Path, orientation: int, stored: np.ndarray) -> None:
    exif = PIL.Image.Exif()
    exif[274] = orientation
    PIL.Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a.png", exif=exif)
    pixels = from_file(tmp_path, "a.png", "PA", "studies.csv, row 1").read()
    np.testing.assert_allclose(pixels * 255, UPRIGHT, atol=1e-4)


def test_every_real_image_is_read_as_it_is(shared: Path) -> None:
    files = [file for folder in ("cxr", "nih") for file in sorted((shared / folder / "images").iterdir())[::7]]
    assert len(files) > 50
    for file in files:
        pixels = from_file(file.parent, file.name, "PA", "here").read()
        with PIL.Image.open(file) as image:
            assert pixels.shape == (image.height, image.width)
        assert 0 <= pixels.min() < pixels.mean() < pixels.max() <= 1


def test_an_image_is_known_by_its_bytes(tmp_path: Path) -> None:
    PIL.Image.new("L", (4, 4), 7).save(tmp_path / "a.png")
    PIL.Image.new("L", (4, 4), 7).save(tmp_path / "b.png")
    PIL.Image.new("L", (4, 4), 8).save(tmp_path / "c.png")
    a, b, c = (from_file(tmp_path, f"{n}.png", None, "here").fingerprint() for n in "abc")
    assert a == b != c


def broken(tmp_path: Path) -> dict[str, str]:
    """A name of each kind that must be refused, with what the error says."""
    PIL.Image.new("L", (64, 64)).save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:200])
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "empty.png").touch()
    outside = tmp_path.parent / "outside.png"
    PIL.Image.new("L", (4, 4)).save(outside)
    (tmp_path / "link.png").symlink_to(outside)
    PIL.Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    return {
        "cut.jpg": "can't be read",
        "text.png": "can't be read",
        "empty.png": "can't be read",
        "missing.png": "is not in",
        "../outside.png": "outside",
        str(outside): "outside",
        "link.png": "outside",
        "bomb.png": "too many|can't be read",
    }


def test_what_can_t_be_read_is_named_with_its_row(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for name, says in broken(folder).items():
        with pytest.raises(ImageError, match=f"row 3.*({says})"):
            from_file(folder, name, None, "studies.csv, row 3").read()


@given(st.lists(st.tuples(st.integers(2, 200), st.integers(0, 255)), min_size=1, max_size=6))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_jpeg_gives_pixels_or_an_image_error(tmp_path: Path, changes: list[tuple[int, int]]) -> None:
    exif = PIL.Image.Exif()
    exif[274] = 6
    PIL.Image.new("L", (16, 16), 99).save(tmp_path / "a.jpg", exif=exif)
    content = bytearray((tmp_path / "a.jpg").read_bytes())
    for place, value in changes:
        content[place] = value
    (tmp_path / "a.jpg").write_bytes(content)
    try:
        pixels = from_file(tmp_path, "a.jpg", None, "here").read()
    except ImageError:
        return
    assert pixels.ndim == 2


@pytest.mark.parametrize("name", ["a" * 300 + ".png", "a\0b.png"])
def test_a_name_that_can_be_none_is_an_image_error(tmp_path: Path, name: str) -> None:
    image = from_file(tmp_path, name, None, "studies.csv, row 3")
    for look in (image.read, image.fingerprint):
        with pytest.raises(ImageError, match="row 3"):
            look()
