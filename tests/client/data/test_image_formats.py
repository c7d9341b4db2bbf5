"""Images that are no NIfTI hold as much as their headers say, or are refused."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from client.data.image_formats import raise_if_other_size, raise_if_unreadable
from client.data.volume import read_volume
from protocol.errors import CaseError

ARRAY = np.arange(2000, dtype=np.int16).reshape(10, 10, 20)


def write(path: Path, *, packed: bool) -> Path:
    """4,000 bytes of voxels; the file that holds them."""
    sitk.WriteImage(sitk.GetImageFromArray(ARRAY), str(path), packed)
    return next(other for other in (path.with_suffix(".zraw"), path.with_suffix(".raw"), path) if other.exists())


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("ending", ["nrrd", "mha", "mhd"])
def test_a_whole_file_is_read_and_one_with_less_or_more_is_not(tmp_path: Path, ending: str, packed: bool):
    path = tmp_path / f"ct.{ending}"
    body = write(path, packed=packed)
    whole = body.read_bytes()
    np.testing.assert_array_equal(read_volume(path, "mask").array_zyx, ARRAY)
    for content in (whole[:-100], whole + b"\1" * 100):
        body.write_bytes(content)
        with pytest.raises(CaseError, match=path.name):
            read_volume(path, "mask")


@pytest.mark.parametrize("ending", ["nrrd", "mha"])
def test_a_byte_that_changed_in_a_packed_file_is_told(tmp_path: Path, ending: str):
    """MetaImage's own reader makes voxels of it without a word."""
    path = write(tmp_path / f"ct.{ending}", packed=True)
    content = bytearray(path.read_bytes())
    content[-300] ^= 1
    path.write_bytes(content)
    with pytest.raises(CaseError, match=path.name):
        read_volume(path, "mask")


@pytest.mark.parametrize("ending", ["nrrd", "mha"])
def test_a_header_of_fewer_voxels_than_there_are_is_told(tmp_path: Path, ending: str):
    path = write(tmp_path / f"ct.{ending}", packed=False)
    path.write_bytes(path.read_bytes().replace(b"20 10 10", b"20 10 9 "))
    with pytest.raises(CaseError, match="4000 bytes of voxels, its header says 3600"):
        read_volume(path, "mask")


def test_what_is_packed_is_counted_to_just_above_what_is_expected(tmp_path: Path):
    path = tmp_path / "ct.nrrd"
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((64, 256, 256), np.int16)), str(path), True)
    with pytest.raises(CaseError, match="header says 10"):
        raise_if_other_size(path, 10)


@pytest.mark.parametrize("ending", ["hdr", "img", "img.gz", "vtk", "gipl", "tif", "png", "nhdr"])
def test_formats_whose_readers_fill_what_is_missing_are_refused(tmp_path: Path, ending: str):
    (tmp_path / f"ct.{ending}").write_bytes(b"x")
    with pytest.raises(CaseError, match=r"a format that is not read; write it as one of \.nii"):
        raise_if_unreadable(tmp_path / f"ct.{ending}")


@pytest.mark.parametrize("text", [b"", b"NRRD0004\n\n", b"NRRD0004\nencoding: hex\n\n", b"NRRD0004\ndata file: x\n\n"])
def test_what_cannot_be_measured_is_refused(tmp_path: Path, text: bytes):
    for name in ("ct.nrrd", "ct.mha"):
        (tmp_path / name).write_bytes(text)
        with pytest.raises(CaseError, match="cannot be measured"):
            raise_if_other_size(tmp_path / name, 4)


@pytest.mark.parametrize(
    ("ending", "field", "value"),
    [
        ("mha", b"NDims = 3", b"NDims = -1"),
        ("mha", b"NDims = 3", b"NDims = 11"),
        ("mha", b"DimSize = 20 10 10", b"DimSize = 20 10 -10"),
        ("mha", b"DimSize = 20 10 10", b"DimSize = 999999 10 10"),
        ("mha", b"ElementSpacing = 1 1 1", b"ElementSpacing = 1 nan 1"),
        ("mha", b"Offset = 0 0 0", b"Offset = 0"),
        ("mha", b"CenterOfRotation = 0 0 0", b"CenterOfRotation = " + b"0 " * 5000),
        ("nrrd", b"type: ", b"typ" + b"[" * 5000 + b": "),
        ("nrrd", b"type: ", b"\xff: "),
        ("nrrd", b"dimension: 3", b"dimension: 17"),
        ("nrrd", b"sizes: 20 10 10", b"sizes: 20 10 99999999999"),
    ],
)
def test_a_header_that_readers_stumble_over_never_reaches_them(tmp_path: Path, ending: str, field: bytes, value: bytes):
    """MetaImage's own reader ends the whole program at -1 axes."""
    path = write(tmp_path / f"ct.{ending}", packed=False)
    assert field in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(field, value))
    with pytest.raises(CaseError, match="a header that cannot be"):
        read_volume(path, "mask")
