"""DICOM radiographs: the one grey picture of a file as a viewer would show it, and never another kind of image."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from rrgbench.errors import ImageError
from rrgbench.normalisation import stretched

MAX_PIXELS = 100_000_000  # three times the largest detector; what is larger is a decompression bomb

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# Modality (DICOM PS3.3 C.7.3.1.1.1): computed and digital radiography, radiographic imaging. DR and XR are no defined
# terms, but devices write them.
RADIOGRAPHS = ("CR", "DX", "RG", "DR", "XR")
# What Body Part Examined holds for a chest (PS3.16 annex L; the other words are what devices write).
CHEST = ("CHEST", "THORAX", "TORAX", "LUNG")

_GREY = ("MONOCHROME1", "MONOCHROME2")
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00")  # how a file without the Part 10 preamble begins
_SIZE_OF_J2K = b"\xff\x4f\xff\x51"  # the markers that begin a JPEG 2000 codestream (ISO/IEC 15444-1 A.5.1)


def read(file: Path, source: str) -> npt.NDArray[np.float32]:
    """The pixels of a DICOM radiograph: float32, shape (height, width), 0..1, air dark.

    Modality LUT or rescale, the first VOI LUT or window, and the inversion of MONOCHROME1 are applied (PS3.3 C.11.1,
    C.11.2, C.7.6.3.1.2); then the darkest pixel is moved to 0 and the brightest to 1. The Part 10 preamble may be
    missing. ``source`` says where the file is named, for the messages. Raises ImageError for what is not one grey
    radiograph, for another body part than the chest (a file that names none is taken), and for a damaged file.
    """
    where = f"{source}: the image {file.name!r}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's, of values that are odd but harmless
            return _read(file, where)
    except ImageError:
        raise
    except Exception as error:  # pydicom and its decoders raise whatever a damaged file leads to
        reason = " ".join(str(error).split())[:300]
        raise ImageError(f"{where} can't be read ({type(error).__name__}: {reason}); replace the file.") from error


def _read(file: Path, where: str) -> npt.NDArray[np.float32]:
    import pydicom
    from pydicom.filereader import read_file_meta_info

    with file.open("rb") as opened:
        start = opened.read(132)
    if start[128:] == b"DICM":
        if read_file_meta_info(file).TransferSyntaxUID.is_deflated:  # a few bytes could fill the memory
            raise ImageError(f"{where} is a deflated DICOM file, which is not read; store it without.")
    elif not start.startswith(_FIRST_GROUPS):
        raise ImageError(f"{where} is no DICOM file; replace it.")
    if wrong := _unfit(pydicom.dcmread(file, force=True, stop_before_pixels=True)):
        raise ImageError(f"{where} {wrong}.")
    dataset = pydicom.dcmread(file, force=True)
    if "PixelData" not in dataset:
        raise ImageError(f"{where} has no pixel data, or was cut short before them; replace the file.")
    return _shown(dataset)


def _unfit(header: Dataset) -> str | None:
    """Why a file can't be used, from what stands before its pixels; None if it can."""
    modality, body, kind = (
        str(header.get(name) or "").strip().upper()
        for name in ("Modality", "BodyPartExamined", "PhotometricInterpretation")
    )
    if modality and modality not in RADIOGRAPHS:
        return f"is of the modality {modality}, and only radiographs are read ({', '.join(RADIOGRAPHS)})"
    if body and not any(word in body for word in CHEST):
        return f"shows another body part than the chest (Body Part Examined: {body}); take it out of the dataset"
    rows, columns, bits = (int(header.get(name) or 0) for name in ("Rows", "Columns", "BitsAllocated"))
    if not rows * columns:
        return "has no pixels (no Rows and Columns)"
    if rows * columns > MAX_PIXELS:
        return f"has {columns} x {rows} pixels: too many"
    if (frames := int(header.get("NumberOfFrames") or 1)) != 1:
        return f"has {frames} frames; a radiograph has one"
    if kind not in _GREY:
        return f"is not grey (Photometric Interpretation: {kind or 'missing'}); a radiograph is {' or '.join(_GREY)}"
    if bits > 16:
        return f"has {bits} bits a pixel; a radiograph has at most 16"
    return None


def _shown(dataset: Dataset) -> npt.NDArray[np.float32]:
    """The pixels after all that a viewer does with them."""
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
    from pydicom.pixels.utils import pixel_array
    from pydicom.uid import ExplicitVRLittleEndian, JPEG2000TransferSyntaxes

    if "TransferSyntaxUID" not in dataset.file_meta:  # without a preamble: pixels that are not compressed
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    plugin = ""
    if dataset.file_meta.TransferSyntaxUID in JPEG2000TransferSyntaxes:
        _check_size_of_j2k(dataset)
        plugin = "pylibjpeg"  # always the same decoder: another one may round otherwise
    stored = pixel_array(dataset, decoding_plugin=plugin).astype(np.int32)  # a table's first entry may be negative
    values = apply_modality_lut(stored, dataset)
    # pydicom's VOI transformation has two faults. What follows changes its output's range, which does not count here.
    dataset.pop("RescaleSlope", None)  # a negative one, applied already, would turn the window upside down
    for item in dataset.get("VOILUTSequence") or ():
        entries, first, _ = item.LUTDescriptor
        item.LUTDescriptor = [entries, first, 16]  # with 8 bits an index above 255 would wrap around
    values = apply_voi_lut(values, dataset).astype(np.float64)
    return stretched(-values if dataset.PhotometricInterpretation == "MONOCHROME1" else values)


def _check_size_of_j2k(dataset: Dataset) -> None:
    """Raise ValueError unless the codestream has the size that Rows and Columns say: a few bytes can decode to any."""
    from pydicom.encaps import get_frame

    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    width, height, left, top = struct.unpack_from(">4I", frame, frame.index(_SIZE_OF_J2K) + 8)
    if (height - top, width - left) != (dataset.Rows, dataset.Columns):
        raise ValueError(
            f"the compressed picture has {width - left} x {height - top} pixels,"
            f" where Columns and Rows say {dataset.Columns} x {dataset.Rows}"
        )
