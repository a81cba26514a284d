"""Read image files: PNG and JPEG of any mode, as float32 pixels in 0..1, and never from outside the given folder."""

from __future__ import annotations

import warnings
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL.Image

from rrgbench.cache import file_digest
from rrgbench.errors import ImageError
from rrgbench.roots import locate
from rrgbench.types import Image

MAX_PIXELS = 100_000_000  # three times the largest detector; what is larger is a decompression bomb


def from_file(folder: Path, name: str, view: str | None, source: str) -> Image:
    """The image of this name below ``folder``. ``source`` says where the name stands, for the error messages."""
    return Image(
        image_id=name,
        read=partial(_read, folder, name, source),
        fingerprint=partial(_fingerprint, folder, name, source),
        view=view,
    )


def _fingerprint(folder: Path, name: str, source: str) -> str:
    file = locate(folder, name, source, "image", ImageError)
    try:
        found = file.stat()
        return _digest(file, found.st_size, found.st_mtime_ns)
    except OSError as error:
        raise ImageError(f"{source}: the image {name!r} can't be read ({error.strerror}).") from error


@lru_cache(maxsize=100_000)
def _digest(file: Path, size: int, mtime_ns: int) -> str:
    """The run's id and the cache both ask for it; size and time tell when a file has changed meanwhile."""
    return file_digest(file)


def _read(folder: Path, name: str, source: str) -> npt.NDArray[np.float32]:
    file = locate(folder, name, source, "image", ImageError)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)  # MAX_PIXELS is checked below
            opened = PIL.Image.open(file, formats=("PNG", "JPEG"))
        with opened as image:
            if image.width * image.height > MAX_PIXELS:
                raise ImageError(f"{source}: the image {name!r} has {image.width} x {image.height} pixels: too many.")
            image.load()
            if image.mode.startswith(("I", "F")):
                return np.asarray(np.asarray(image).clip(0, 65535) / 65535, dtype=np.float32)
            return np.asarray(image.convert("L"), dtype=np.float32) / np.float32(255)
    except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError) as error:
        raise ImageError(f"{source}: the image {name!r} can't be read ({error}); replace the file.") from error
