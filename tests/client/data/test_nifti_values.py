"""Voxels as they are stored."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from client.data.nifti_values import read_nifti_header, read_stored_voxels
from client.data.volume import (
    IDENTITY,
    Grid,
    Volume,
    read_volume,
    write_volume,
)
from protocol.errors import CaseError

GRID = Grid((4, 5, 6), (3.0, 2.0, 1.0), (10.0, 20.0, 30.0))


@pytest.mark.parametrize("name", ["pet.nii.gz", "pet.nii"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nan_and_infinity_in_the_file_are_not_read_as_zero(tmp_path: Path, name: str, dtype: str):
    array = np.arange(24, dtype=dtype).reshape(2, 3, 4)
    array[1, 2, 3], array[0, 1, 2] = np.nan, np.inf
    write_volume(Volume(array, (3, 2, 1), (0, 0, 0), IDENTITY, "pet_suv"), tmp_path / name)
    np.testing.assert_array_equal(read_volume(tmp_path / name, "pet_suv").array_zyx, array.astype(np.float32))


def test_floats_of_another_byte_order_are_read_as_stored(tmp_path: Path):
    header = bytearray(352)
    struct.pack_into(">i", header, 0, 348)
    struct.pack_into(">8h", header, 40, 3, 2, 1, 1, 1, 1, 1, 1)
    struct.pack_into(">2h", header, 70, 16, 32)
    struct.pack_into(">f", header, 108, 352)
    header[344:348] = b"n+1\0"
    (tmp_path / "big.nii").write_bytes(bytes(header) + np.array([1.5, np.nan], ">f4").tobytes())
    found = read_stored_voxels(tmp_path / "big.nii")
    assert found is not None
    np.testing.assert_array_equal(found[1], [1.5, np.nan])


@pytest.mark.parametrize("content", [b"", b"n+1" * 200])
def test_what_is_no_nifti_holds_no_voxels(tmp_path: Path, content: bytes):
    (tmp_path / "x.nii").write_bytes(content)
    assert read_stored_voxels(tmp_path / "x.nii") is None


def _written(path: Path) -> bytes:
    array = np.arange(2000, dtype=np.int16).reshape(10, 20, 10)
    write_volume(Volume(array, (3, 2, 1), (0, 0, 0), IDENTITY, "ct_hu"), path)
    return path.read_bytes()


def test_a_file_cut_off_is_no_image_that_ends_in_zeros(tmp_path: Path):
    plain = _written(tmp_path / "ct.nii")
    packed = _written(tmp_path / "ct.nii.gz")
    (tmp_path / "ct.nii").write_bytes(plain[:-1])
    (tmp_path / "ct.nii.gz").write_bytes(packed[: len(packed) // 2])
    (tmp_path / "short.nii.gz").write_bytes(gzip.compress(plain[:-2]))
    for name, found in [
        ("ct.nii", "4351 bytes for 2000 voxels"),
        ("ct.nii.gz", "unpacked"),
        ("short.nii.gz", "4350 b"),
    ]:
        with pytest.raises(CaseError, match=found):
            read_volume(tmp_path / name, "ct_hu")


def test_a_bit_that_flipped_in_a_packed_file_is_told(tmp_path: Path):
    noise = np.random.default_rng(0).integers(-1000, 1000, (64, 64, 64), dtype=np.int16)
    write_volume(Volume(noise, (3, 2, 1), (0, 0, 0), IDENTITY, "ct_hu"), tmp_path / "ct.nii.gz")
    packed = bytearray((tmp_path / "ct.nii.gz").read_bytes())
    packed[-8] ^= 1
    (tmp_path / "ct.nii.gz").write_bytes(packed)
    with pytest.raises(CaseError, match="CRC check failed"):
        read_volume(tmp_path / "ct.nii.gz", "ct_hu")


def test_scaled_values_are_those_that_the_header_makes_of_them(tmp_path: Path):
    content = bytearray(_written(tmp_path / "ct.nii"))
    struct.pack_into("<2f", content, 112, 0.5, -100)
    (tmp_path / "ct.nii").write_bytes(content)
    assert read_volume(tmp_path / "ct.nii", "ct_hu").array_zyx.ravel()[[0, 1, 1999]].tolist() == [-100, -99.5, 899.5]


def test_the_reader_gives_what_itk_gives(tmp_path: Path):
    _written(tmp_path / "ct.nii.gz")
    itk = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "ct.nii.gz")))
    np.testing.assert_array_equal(read_volume(tmp_path / "ct.nii.gz", "mask").array_zyx, itk)
    assert read_volume(tmp_path / "ct.nii.gz", "mask").array_zyx.dtype == itk.dtype == np.int16


def test_both_forms_of_the_header_agree_unless_one_was_changed(tmp_path: Path):
    """The written qform is in LPS turned to RAS: x and y change sign; 5 mm along z are 5 mm apart."""
    oblique = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)
    write_volume(Volume(np.zeros((3, 4, 5), np.int16), (3, 2, 1), (7, 8, 9), oblique, "ct_hu"), tmp_path / "ct.nii")
    header = read_nifti_header(tmp_path / "ct.nii")
    assert header is not None
    assert header.qform is not None
    assert header.sform is not None
    np.testing.assert_allclose(header.qform[:, 3], [-7, -8, 9])
    np.testing.assert_allclose(header.qform, header.sform, atol=1e-5)
    content = bytearray((tmp_path / "ct.nii").read_bytes())
    struct.pack_into("<f", content, 280 + 4 * 11, 14.0)
    (tmp_path / "ct.nii").write_bytes(content)
    changed = read_nifti_header(tmp_path / "ct.nii")
    assert changed is not None
    assert changed.disagreement_mm == pytest.approx(5, abs=1e-4)
