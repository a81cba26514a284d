"""Read image files as float32 pixels in 0..1, air dark: PNG and JPEG of any mode, and DICOM (.dcm, .dicom).

A file is never read from outside the given folder. PNG and JPEG: colours become grey by ITU-R 601 luma, transparent
pixels lie over black, the EXIF orientation is applied. Black is 0 and the greatest value that the file's bit depth can
hold is 1, so 12-bit data in a 16-bit PNG come out dark; the presets ``maira`` and ``mimic-jpg`` of
``rrgbench.normalisation`` stretch them. DICOM: see ``rrgbench.dicom``.
"""

from __future__ import annotations

import warnings
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageOps

from rrgbench import dicom
from rrgbench.cache import file_digest
from rrgbench.errors import ImageError
from rrgbench.roots import locate
from rrgbench.types import Image

DICOM_SUFFIXES = (".dcm", ".dicom")


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
    if file.suffix.lower() in DICOM_SUFFIXES:
        return dicom.read(file, source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of odd EXIF entries and of many pixels, which are counted here
            with PIL.Image.open(file, formats=("PNG", "JPEG")) as image:
                width, height = image.size
                if width * height > dicom.MAX_PIXELS:
                    raise ImageError(f"{source}: the image {name!r} has {width} x {height} pixels: too many.")
                return _grey(PIL.ImageOps.exif_transpose(image))
    except ImageError:
        raise
    except Exception as error:  # damaged pixels and EXIF entries make Pillow raise nearly anything
        raise ImageError(f"{source}: the image {name!r} can't be read ({error}); replace the file.") from error


def _grey(image: PIL.Image.Image) -> npt.NDArray[np.float32]:
    if image.mode.startswith("I"):  # 16 bits, which Pillow does not turn into another mode
        levels = np.asarray(image).astype(np.float32)
        if (transparent := image.info.get("transparency")) is not None:
            levels[levels == transparent] = 0
        return levels / np.float32(65535)
    if not image.has_transparency_data:
        return np.asarray(image.convert("L"), dtype=np.float32) / np.float32(255)
    grey, opaque = (np.asarray(band, dtype=np.float32) for band in image.convert("RGBA").convert("LA").split())
    over_black: npt.NDArray[np.float32] = grey * opaque / np.float32(255 * 255)
    return over_black
