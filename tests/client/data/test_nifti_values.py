"""Voxels as they are stored."""

import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from client.data import free_memory
from client.data.free_memory import LowMemoryError
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
    struct.pack_into(">3f", header, 80, 1, 1, 1)
    struct.pack_into(">f", header, 108, 352)
    header[344:348] = b"n+1\0"
    (tmp_path / "big.nii").write_bytes(bytes(header) + np.array([1.5, np.nan], ">f4").tobytes())
    found = read_stored_voxels(tmp_path / "big.nii")
    np.testing.assert_array_equal(found[1], [1.5, np.nan])


@pytest.mark.parametrize("content", [b"", b"n+1" * 200])
def test_what_is_no_nifti_is_refused_by_its_name(tmp_path: Path, content: bytes):
    (tmp_path / "x.nii").write_bytes(content)
    with pytest.raises(CaseError, match=r"x\.nii is not as NIfTI must be"):
        read_stored_voxels(tmp_path / "x.nii")
    assert read_nifti_header(tmp_path / "x.nrrd") is None


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
        ("ct.nii", "at most 4351 bytes, expected 4352 for 10 x 20 x 10 voxels of int16"),
        ("ct.nii.gz", "unpacked"),
        ("short.nii.gz", "4350 bytes, expected 4352"),
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


KINDS = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("packed", [False, True])
def test_one_voxel_less_or_more_than_the_header_says_is_refused(tmp_path: Path, dtype: str, packed: bool):
    """480 voxels; one is dropped, or one too many: neither is filled nor passed over, whatever the type."""
    write_volume(Volume(np.ones((8, 6, 10), dtype), (3, 2, 1), (0, 0, 0), IDENTITY, "mask"), tmp_path / "whole.nii")
    whole, size = (tmp_path / "whole.nii").read_bytes(), np.dtype(dtype).itemsize
    path = tmp_path / f"gtv.nii{'.gz' if packed else ''}"
    for content in (whole[:-size], whole + bytes(size)):
        path.write_bytes(gzip.compress(content) if packed else content)
        with pytest.raises(CaseError, match=rf"expected {len(whole)} for 10 x 6 x 8 voxels of {dtype}"):
            read_volume(path, "mask")


def test_a_file_of_two_packed_members_is_read_whole_and_both_checksums_count(tmp_path: Path):
    plain = _written(tmp_path / "ct.nii")
    first, second = gzip.compress(plain[:1000]), gzip.compress(plain[1000:])
    path = tmp_path / "ct.nii.gz"
    path.write_bytes(first + second + bytes(100))
    assert read_volume(path, "ct_hu").array_zyx.sum() == 1999 * 1000
    for content in (first + gzip.compress(plain[1000:-2]), first[:-8] + bytes(8) + second, first + second + b"more"):
        path.write_bytes(content)
        with pytest.raises(CaseError, match=r"ct\.nii\.gz"):
            read_volume(path, "ct_hu")


def test_what_a_packed_file_unpacks_to_beyond_its_header_is_never_unpacked(tmp_path: Path):
    """16 MiB of zeros behind 4,352 bytes: refused at the first byte too many."""
    (tmp_path / "ct.nii.gz").write_bytes(gzip.compress(_written(tmp_path / "ct.nii") + bytes(16 << 20)))
    tracemalloc.start()
    with pytest.raises(CaseError, match="more bytes, expected 4352"):
        read_volume(tmp_path / "ct.nii.gz", "ct_hu")
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


def test_a_header_that_promises_more_than_the_file_can_hold_is_refused_before_room_is_made(tmp_path: Path):
    """2,000 x 2,000 x 1,000 voxels of 2 bytes need 8 GB; a packed file of 3 kB holds 3.5 MB at most."""
    content = bytearray(_written(tmp_path / "ct.nii"))
    struct.pack_into("<8h", content, 40, 3, 2000, 2000, 1000, 1, 1, 1, 1)
    (tmp_path / "ct.nii.gz").write_bytes(gzip.compress(content))
    with pytest.raises(CaseError, match="expected 8000000352"):
        read_volume(tmp_path / "ct.nii.gz", "ct_hu")


def test_an_image_larger_than_the_memory_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A packed file whose header does not lie: 61 MiB of zeros in some 60 kB, 9 bytes each while they are checked."""
    head = bytearray(_written(tmp_path / "ct.nii")[:352])
    struct.pack_into("<8h", head, 40, 3, 400, 400, 200, 1, 1, 1, 1)
    (tmp_path / "ct.nii.gz").write_bytes(gzip.compress(bytes(head) + bytes(2 * 400 * 400 * 200), 1))
    monkeypatch.setattr(free_memory, "free_bytes", lambda: 128 << 20)
    with pytest.raises(LowMemoryError, match="needs 274 MiB of memory, 128 MiB are free"):
        read_volume(tmp_path / "ct.nii.gz", "ct_hu")


@pytest.mark.parametrize("pair", [(np.nan, np.nan), (0.0, 7.0), (np.nan, 0.0), (1.0, 0.0)])
def test_a_slope_of_zero_or_nan_is_none(tmp_path: Path, pair: tuple[float, float]):
    """As widely used programs write it."""
    content = bytearray(_written(tmp_path / "ct.nii"))
    struct.pack_into("<2f", content, 112, *pair)
    (tmp_path / "ct.nii").write_bytes(content)
    assert read_volume(tmp_path / "ct.nii", "mask").array_zyx.ravel()[[0, 1, 1999]].tolist() == [0, 1, 1999]
