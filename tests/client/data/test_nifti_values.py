"""Floating-point voxels as they are stored."""

import struct
from pathlib import Path

import numpy as np
import pytest

from client.data.nifti_values import read_stored_floats
from client.data.volume import (
    IDENTITY,
    Grid,
    Volume,
    read_volume,
    write_volume,
)

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
    struct.pack_into(">h", header, 70, 16)
    struct.pack_into(">f", header, 108, 352)
    header[344:348] = b"n+1\0"
    (tmp_path / "big.nii").write_bytes(bytes(header) + np.array([1.5, np.nan], ">f4").tobytes())
    np.testing.assert_array_equal(read_stored_floats(tmp_path / "big.nii"), [1.5, np.nan])


@pytest.mark.parametrize("content", [b"", b"n+1" * 200])
def test_what_is_no_nifti_holds_no_floats(tmp_path: Path, content: bytes):
    (tmp_path / "x.nii").write_bytes(content)
    assert read_stored_floats(tmp_path / "x.nii") is None
