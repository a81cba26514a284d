from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from rrgbench import dicom
from rrgbench.dicom import MAX_PIXELS
from rrgbench.errors import ImageError
from rrgbench.images import from_file

STORED = np.array([[0, 100, 200], [300, 400, 400]], np.uint16)
SHOWN = [[0, 0.25, 0.5], [0.75, 1, 1]]


def radiograph(pixels: np.ndarray = STORED, **elements: Any) -> Dataset:
    """A chest radiograph as a device might write it, with other or further elements; None leaves one out."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    given = {
        "SOPClassUID": ComputedRadiographyImageStorage,
        "SOPInstanceUID": "1.2.3",
        "Modality": "CR",
        "BodyPartExamined": "CHEST",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "BitsAllocated": pixels.itemsize * 8,
        "BitsStored": pixels.itemsize * 8,
        "HighBit": pixels.itemsize * 8 - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        "PixelData": pixels.tobytes() + b"\0" * (pixels.nbytes % 2),
        **elements,
    }
    for name, value in given.items():
        if value is not None:
            setattr(dataset, name, value)
    return dataset


def written(dataset: Dataset, file: Path) -> Path:
    dataset.save_as(file, enforce_file_format=True)
    return file


def shown(tmp_path: Path, dataset: Dataset) -> np.ndarray:
    pixels = dicom.read(written(dataset, tmp_path / "a.dcm"), "studies.csv, row 3")
    assert pixels.dtype == np.float32
    return pixels


def refusal(file: Path) -> str:
    with pytest.raises(ImageError) as caught:
        dicom.read(file, "studies.csv, row 3")
    message = str(caught.value)
    assert message.startswith(f"studies.csv, row 3: the image {file.name!r} ")
    return message


def lut(values: np.ndarray, first: int, bits: int) -> list[Dataset]:
    item = Dataset()
    entries = len(values) % 2**16  # 0 stands for 65,536
    item.add_new("LUTDescriptor", "US" if first >= 0 else "SS", [entries, first, bits])
    item.LUTData = values.astype("<u2").tobytes()
    return [item]


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({}, SHOWN),
        ({"PhotometricInterpretation": "MONOCHROME1"}, 1 - np.array(SHOWN)),
        ({"RescaleSlope": 2, "RescaleIntercept": -1000}, SHOWN),
        ({"RescaleSlope": -2, "RescaleIntercept": 0}, 1 - np.array(SHOWN)),
        # PS3.3 C.11.2.1.2.1: (x - (c - .5)) / (w - 1) + .5, so that c 200.5 and w 201 show 100 to 300.
        ({"WindowCenter": 200.5, "WindowWidth": 201}, [[0, 0, 0.5], [1, 1, 1]]),
        ({"WindowCenter": [200.5, 50], "WindowWidth": [201, 100]}, [[0, 0, 0.5], [1, 1, 1]]),
        (
            {"WindowCenter": 200.5, "WindowWidth": 201, "PhotometricInterpretation": "MONOCHROME1"},
            [[1, 1, 0.5], [0] * 3],
        ),
        (
            {"WindowCenter": -199.5, "WindowWidth": 201, "RescaleSlope": -1, "RescaleIntercept": 0},
            [[1, 1, 0.5], [0] * 3],
        ),
        ({"WindowCenter": None, "WindowWidth": 201}, SHOWN),
        ({"WindowCenter": "", "WindowWidth": ""}, SHOWN),
        ({"BodyPartExamined": None, "Modality": None}, SHOWN),
        ({"BodyPartExamined": "THORAX", "Modality": "DX"}, SHOWN),
        ({"NumberOfFrames": 1}, SHOWN),
    ],
)
def test_it_looks_as_in_a_viewer(tmp_path: Path, elements: dict[str, Any], expected: Any) -> None:
    np.testing.assert_allclose(shown(tmp_path, radiograph(**elements)), expected, atol=1e-6)


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("rescaled", [{}, {"RescaleSlope": 1, "RescaleIntercept": 0}])
def test_a_voi_lut_goes_before_a_window(tmp_path: Path, bits: int, rescaled: dict[str, int]) -> None:
    falling = np.linspace(200, 100, 401).astype(int)  # more entries than 8 bits can count
    dataset = radiograph(VOILUTSequence=lut(falling, 0, bits), WindowCenter=1, WindowWidth=2, **rescaled)
    np.testing.assert_allclose(shown(tmp_path, dataset), 1 - np.array(SHOWN), atol=1e-6)


def test_a_modality_lut_is_applied(tmp_path: Path) -> None:
    dataset = radiograph(
        ModalityLUTSequence=lut(np.arange(401)[::-1] ** 2 // 3, 0, 16), WindowCenter=26667, WindowWidth=53334
    )
    expected = (400 - STORED.astype(float)) ** 2 / 400**2
    np.testing.assert_allclose(shown(tmp_path, dataset), expected, atol=1e-4)


def test_a_modality_lut_may_begin_below_zero(tmp_path: Path) -> None:
    stored = np.array([[-32768, 0, 32767]], np.int16)
    dataset = radiograph(stored, ModalityLUTSequence=lut(np.arange(65536), -32768, 16))
    np.testing.assert_allclose(shown(tmp_path, dataset), [[0, 0.5, 1]], atol=1e-4)


def test_every_depth_and_sign(tmp_path: Path) -> None:
    for stored in (
        (STORED // 4).astype(np.uint8),
        STORED.astype(np.int16) - 200,
        (STORED * np.uint16(163)),
    ):
        np.testing.assert_allclose(shown(tmp_path, radiograph(stored)), SHOWN, atol=1e-6)
    odd = np.array([[0, 1, 2]], np.uint8)
    np.testing.assert_allclose(shown(tmp_path, radiograph(odd)), [[0, 0.5, 1]])


def test_what_stands_in_unused_bits_does_not_count(tmp_path: Path) -> None:
    stored = STORED | np.uint16(0xA000)
    np.testing.assert_allclose(shown(tmp_path, radiograph(stored, BitsStored=12, HighBit=11)), SHOWN, atol=1e-6)


def test_a_picture_of_one_value_is_black(tmp_path: Path) -> None:
    for kind in ("MONOCHROME1", "MONOCHROME2"):
        flat = shown(tmp_path, radiograph(np.full((4, 5), 77, np.uint16), PhotometricInterpretation=kind))
        assert flat.shape == (4, 5)
        assert not flat.any()


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_every_way_to_write_the_elements(tmp_path: Path, syntax: pydicom.uid.UID) -> None:
    stored = STORED.astype(">u2") if syntax == ExplicitVRBigEndian else STORED
    dataset = radiograph(stored)
    dataset.file_meta.TransferSyntaxUID = syntax
    np.testing.assert_allclose(shown(tmp_path, dataset), SHOWN, atol=1e-6)


@pytest.mark.parametrize("implicit", [True, False])
def test_the_preamble_may_be_missing(tmp_path: Path, implicit: bool) -> None:
    dataset = radiograph()
    del dataset.file_meta
    dataset.save_as(tmp_path / "bare.dcm", implicit_vr=implicit, little_endian=True)
    assert (tmp_path / "bare.dcm").read_bytes()[:2] == b"\x08\x00"
    np.testing.assert_allclose(dicom.read(tmp_path / "bare.dcm", "here"), SHOWN, atol=1e-6)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, RLELossless])
def test_compressed_pixels(tmp_path: Path, syntax: pydicom.uid.UID) -> None:
    stored = np.arange(48 * 40, dtype=np.uint16).reshape(48, 40)
    dataset = radiograph(stored, BitsStored=12, HighBit=11, PhotometricInterpretation="MONOCHROME1")
    dataset.compress(syntax, encoding_plugin="pylibjpeg" if syntax == JPEG2000Lossless else "pydicom")
    np.testing.assert_allclose(shown(tmp_path, dataset), 1 - stored / (48 * 40 - 1), atol=1e-6)


@pytest.mark.parametrize(
    ("elements", "says"),
    [
        ({"Modality": "CT"}, "modality CT"),
        ({"BodyPartExamined": "EXTREMITY"}, "EXTREMITY"),
        ({"BodyPartExamined": "TSPINE"}, "another body part than the chest"),
        ({"NumberOfFrames": 2, "PixelData": STORED.tobytes() * 2}, "2 frames"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}, "not grey.*RGB"),
        ({"PhotometricInterpretation": None}, "not grey.*missing"),
        ({"BitsAllocated": 32}, "32 bits"),
        ({"Rows": 65535, "Columns": 65535}, "65535 x 65535 pixels: too many"),
        ({"Rows": 20}, "can't be read"),
        ({"Rows": 0}, "no pixels"),
        ({"Rows": None}, "no pixels"),
        ({"PixelData": None}, "has no pixel data, or was cut short"),
        ({"PixelData": STORED.tobytes()[:6]}, "can't be read"),
        ({"WindowCenter": 100, "WindowWidth": 0}, "Window Width"),
    ],
)
def test_what_is_no_grey_chest_radiograph_is_refused_by_name(
    tmp_path: Path, elements: dict[str, Any], says: str
) -> None:
    message = refusal(written(radiograph(**elements), tmp_path / "a.dcm"))
    assert re.search(says, message), message


def test_absurd_sizes_are_refused_before_the_pixels_are_read(tmp_path: Path) -> None:
    assert MAX_PIXELS < 12_000 * 12_000
    dataset = radiograph(Rows=12_000, Columns=12_000, PixelData=b"")
    assert "12000 x 12000 pixels: too many" in refusal(written(dataset, tmp_path / "a.dcm"))


def test_a_small_picture_that_decodes_to_a_large_one_is_refused(tmp_path: Path) -> None:
    dataset = radiograph(np.zeros((64, 64), np.uint16))
    dataset.compress(JPEG2000Lossless, encoding_plugin="pylibjpeg")
    stream = bytearray(pydicom.encaps.get_frame(dataset.PixelData, 0, number_of_frames=1))
    stream[8:16] = (50_000).to_bytes(4, "big") * 2
    dataset.PixelData = encapsulate([bytes(stream)])
    assert "50000 x 50000" in refusal(written(dataset, tmp_path / "a.dcm"))


def test_one_decoder_decides_what_a_damaged_picture_is(tmp_path: Path) -> None:
    dataset = radiograph(np.arange(64 * 64, dtype=np.uint16).reshape(64, 64))
    dataset.compress(JPEG2000Lossless, encoding_plugin="pylibjpeg")
    stream = pydicom.encaps.get_frame(dataset.PixelData, 0, number_of_frames=1)
    dataset.PixelData = encapsulate([stream[: len(stream) // 2]])
    message = refusal(written(dataset, tmp_path / "a.dcm"))
    assert "pylibjpeg" in message
    assert "pillow" not in message


def test_a_deflated_file_is_not_inflated(tmp_path: Path) -> None:
    dataset = radiograph(np.zeros((1000, 1000), np.uint16))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    assert "deflated" in refusal(written(dataset, tmp_path / "a.dcm"))


def test_what_is_no_dicom_file_is_called_so(tmp_path: Path) -> None:
    for content in (b"", b"not an image", b"\x89PNG\r\n\x1a\n" + b"\0" * 300):
        (tmp_path / "a.dcm").write_bytes(content)
        assert "is no DICOM file" in refusal(tmp_path / "a.dcm")


@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_that_was_cut_short_is_refused_wherever_it_ends(tmp_path: Path, compressed: bool) -> None:
    dataset = radiograph(np.arange(64 * 64, dtype=np.uint16).reshape(64, 64))
    if compressed:
        dataset.compress(JPEG2000Lossless, encoding_plugin="pylibjpeg")
    whole = written(dataset, tmp_path / "whole.dcm").read_bytes()
    for keep in (100, 132, 140, 200, 300, 400, 500, len(whole) // 2, len(whole) - 30):
        (tmp_path / "cut.dcm").write_bytes(whole[:keep])
        refusal(tmp_path / "cut.dcm")


WHOLE = radiograph(np.arange(16 * 16, dtype=np.uint16).reshape(16, 16), WindowCenter=100, WindowWidth=100)


@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6))
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_gives_pixels_or_an_image_error(tmp_path: Path, changes: list[tuple[float, int]]) -> None:
    content = bytearray(written(WHOLE, tmp_path / "a.dcm").read_bytes())
    for place, value in changes:
        content[int(place * len(content))] = value
    (tmp_path / "a.dcm").write_bytes(content)
    try:
        pixels = dicom.read(tmp_path / "a.dcm", "here")
    except ImageError:
        return
    assert pixels.ndim == 2
    assert ((pixels >= 0) & (pixels <= 1)).all()


@pytest.mark.parametrize("name", ["a.dcm", "b.DCM", "c.dicom"])
def test_a_dataset_reads_dicom_by_its_suffix(tmp_path: Path, name: str) -> None:
    written(radiograph(), tmp_path / name)
    np.testing.assert_allclose(from_file(tmp_path, name, "PA", "studies.csv, row 3").read(), SHOWN, atol=1e-6)


@pytest.mark.parametrize(("name", "shape"), [("RG1_J2KI.dcm", (1955, 1841)), ("CR-MONO1-10-chest.dcm", (440, 440))])
def test_real_chests_have_dark_lungs_and_a_bright_middle(shared: Path, name: str, shape: tuple[int, int]) -> None:
    pixels = from_file(shared / "dicom", name, "PA", "here").read()
    assert pixels.shape == shape
    assert (pixels.min(), pixels.max()) == (0, 1)
    height, width = shape
    row = pixels[int(0.45 * height)]
    lungs = [row[int(at * width)] for at in (0.25, 0.7)]
    assert max(lungs) < row[int(0.48 * width)]
    assert pixels[int(0.03 * height), int(0.99 * width)] < min(lungs)  # air beside the neck


def test_a_real_tibia_is_refused_by_name(shared: Path) -> None:
    assert "EXTREMITY" in refusal(shared / "dicom" / "RG3_J2KI_not_chest.dcm")
