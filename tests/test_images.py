from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from rrgbench.errors import ImageError
from rrgbench.images import from_file

MODES = [*((mode, "png") for mode in ("L", "RGB", "RGBA", "P", "1", "LA", "I;16")), ("L", "jpg"), ("RGB", "jpg")]


@pytest.mark.parametrize(("mode", "ending"), MODES)
def test_any_mode_becomes_grey_from_0_to_1(tmp_path: Path, mode: str, ending: str) -> None:
    if mode == "I;16":
        image = PIL.Image.fromarray(np.linspace(0, 65535, 48 * 32).reshape(48, 32).astype(np.uint16))
    else:
        ramp = np.linspace(0, 255, 48 * 32).reshape(48, 32).astype(np.uint8)
        image = PIL.Image.fromarray(ramp).convert(mode)
    image.save(tmp_path / f"a.{ending}")
    pixels = from_file(tmp_path, f"a.{ending}", "PA", "studies.csv, row 1").read()
    assert pixels.dtype == np.float32 and pixels.shape == (48, 32)
    assert pixels.min() < 0.05 and pixels.max() > 0.95


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


@pytest.mark.parametrize("name", ["a" * 300 + ".png", "a\0b.png"])
def test_a_name_that_can_be_none_is_an_image_error(tmp_path: Path, name: str) -> None:
    image = from_file(tmp_path, name, None, "studies.csv, row 3")
    for look in (image.read, image.fingerprint):
        with pytest.raises(ImageError, match="row 3"):
            look()
