"""Stored values are those that were written, in every transfer syntax; what is missing is never filled up."""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import Dataset, dcmread
from pydicom.uid import JPEG2000Lossless

from client.dicom.findings import UnreadableFileError
from client.dicom.pixels import stored_frames
from client.dicom.reading import read_object
from tests.support.dicom_study import MadeStudy, write_ct
from tests.support.indexed import needs_dcmtk

SMOOTH = np.round(np.add.outer(np.arange(25) // 4, np.arange(31) // 3) * 10.0)
HU = np.random.default_rng(1).integers(-1024, 3000, (2, 24, 40)).astype(float)
COMPRESS = {
    "jpeg-lossless": ["dcmcjpeg"],
    "jpeg-lossless-any-prediction": ["dcmcjpeg", "+el"],
    "jpeg-ls": ["dcmcjpls", "+el"],
    "rle": ["dcmcrle"],
    "big-endian": ["dcmconv", "+tb"],
    "deflated": ["dcmconv", "+td"],
    "implicit": ["dcmconv", "+ti"],
}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return write_ct(tmp_path / "ct", MadeStudy(), HU)[0]


def stored(path: Path) -> np.ndarray:
    return stored_frames(read_object(path), path)


def rewrite(path: Path, **tags: object) -> Path:
    data = dcmread(path)
    for name, value in tags.items():
        if value is None:
            delattr(data, name)
        else:
            setattr(data, name, value)
    data.save_as(path)
    return path


@needs_dcmtk
@pytest.mark.parametrize("command", COMPRESS.values(), ids=COMPRESS)
@pytest.mark.parametrize("tags", [{}, {"PixelRepresentation": 0, "BitsStored": 12, "HighBit": 11}], ids=["16", "12"])
def test_every_lossless_syntax_gives_the_values_that_were_written(
    image: Path, tmp_path: Path, command: list[str], tags: dict[str, int]
) -> None:
    rewrite(image, **tags)
    program, *options = command
    subprocess.run([program, *options, image, tmp_path / "other.dcm"], check=True, capture_output=True)
    values = stored(tmp_path / "other.dcm")
    assert values.shape == (1, 24, 40)
    np.testing.assert_array_equal(values[0], HU[0] + 1024)


@needs_dcmtk
@pytest.mark.parametrize("program", ["dcmcjpeg", "dcmcjpls", "dcmcrle"])
def test_smooth_images_of_odd_sizes_come_back_too(tmp_path: Path, program: str) -> None:
    """They have long runs, and segments that are padded to an even length."""
    for width in (30, 31):
        (image,) = write_ct(tmp_path / str(width), MadeStudy(), SMOOTH[None, :, :width])
        subprocess.run([program, image, image], check=True)
        np.testing.assert_array_equal(stored(image)[0], SMOOTH[:, :width] + 1024)


def test_jpeg_2000_gives_the_values_that_were_written(image: Path, tmp_path: Path) -> None:
    """No program of Debian's writes it into DICOM; ITK writes the stream itself."""
    codestream = tmp_path / "plane.j2k"
    sitk.WriteImage(sitk.GetImageFromArray((HU[0] + 1024).astype(np.uint16)), str(codestream))
    data = dcmread(image)
    data.PixelRepresentation = 0
    if not codestream.read_bytes().startswith(b"\xff\x4f"):
        pytest.skip("this ITK writes JP2 boxes")
    from pydicom.encaps import encapsulate

    data.PixelData = encapsulate([codestream.read_bytes()])
    data["PixelData"].VR, data["PixelData"].is_undefined_length = "OB", True
    data.file_meta.TransferSyntaxUID = JPEG2000Lossless
    data.save_as(image)
    np.testing.assert_array_equal(stored(image)[0], HU[0] + 1024)


def test_what_lies_in_unused_bits_is_no_value(image: Path) -> None:
    """Twelve bits of sixteen: -1 is 0x0FFF, and 0xF000 is an overlay."""
    pixels = np.full((24, 40), 0xFFFF, np.uint16)
    rewrite(image, BitsStored=12, HighBit=11, PixelRepresentation=0, PixelData=pixels.tobytes())
    assert np.unique(stored(image)).tolist() == [4095]
    rewrite(image, PixelRepresentation=1, PixelData=(pixels & 0x0FFF).tobytes())
    assert np.unique(stored(image)).tolist() == [-1]


@pytest.mark.parametrize("change", [-2, -500, +2, +500])
def test_pixels_of_another_length_are_refused(image: Path, change: int) -> None:
    pixels = dcmread(image).PixelData
    rewrite(image, PixelData=(pixels + bytes(500))[: len(pixels) + change])
    with pytest.raises(UnreadableFileError, match=f"pixels of {1920 + change} bytes, expected 1920"):
        stored(image)


@pytest.mark.parametrize("left", [0.2, 0.9, 0.99])
@pytest.mark.parametrize("command", [None, *COMPRESS.values()], ids=["explicit", *COMPRESS])
@needs_dcmtk
def test_a_file_that_is_cut_short_is_refused(
    image: Path, tmp_path: Path, command: list[str] | None, left: float
) -> None:
    path = tmp_path / "other.dcm"
    if command is None:
        path.write_bytes(image.read_bytes())
    else:
        program, *options = command
        subprocess.run([program, *options, image, path], check=True, capture_output=True)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * left)])
    with pytest.raises(UnreadableFileError):
        stored(path)


@needs_dcmtk
@pytest.mark.parametrize("command", [["dcmcjpeg"], ["dcmcjpls", "+el"], ["dcmcrle"]], ids=["jpeg", "jpeg-ls", "rle"])
@pytest.mark.parametrize("missing", [8, 700])
def test_a_compressed_stream_that_ends_early_is_refused(
    image: Path, tmp_path: Path, command: list[str], missing: int
) -> None:
    """The file is whole; what lies in its one fragment is not, and decoders fill up the rest of the image."""
    from pydicom.encaps import encapsulate, generate_frames

    path = tmp_path / "other.dcm"
    subprocess.run([*command, image, path], check=True, capture_output=True)
    data = dcmread(path)
    (frame,) = generate_frames(data.PixelData, number_of_frames=1)
    data.PixelData = encapsulate([frame[:-missing]])
    data.save_as(path)
    with pytest.raises(UnreadableFileError):
        stored(path)


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ({"PixelData": None}, "an image without PixelData"),
        ({"Rows": None}, "an image without Rows"),
        ({"SamplesPerPixel": 3}, "3 sample"),
        ({"BitsAllocated": 12}, "of 12 bits"),
        ({"HighBit": 14}, "up to bit 14"),
        ({"Rows": 25}, "expected 2000"),
        ({"NumberOfFrames": 2}, "expected 3840"),
        ({"TransferSyntaxUID": JPEG2000Lossless}, "compressed pixels"),
    ],
)
def test_tags_that_contradict_the_pixels_are_told(image: Path, tags: dict[str, Any], found: str) -> None:
    data: Dataset = read_object(image)
    for name, value in tags.items():
        if value is None:
            delattr(data, name)
        elif name == "TransferSyntaxUID":
            data.file_meta.TransferSyntaxUID = value
        else:
            setattr(data, name, value)
    with pytest.raises(UnreadableFileError, match=found) as told:
        stored_frames(data, image)
    assert told.value.source == str(image)
