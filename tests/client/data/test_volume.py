"""Reading, writing and comparing volumes in physical space."""

import resource
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from client.data.volume import (
    IDENTITY,
    Grid,
    Volume,
    bounds_xyz_mm,
    read_grid,
    read_volume,
    same_grid,
    to_image,
    write_volume,
)
from protocol.errors import CaseError, StorageError

GRID = Grid((4, 5, 6), (3.0, 2.0, 1.0), (10.0, 20.0, 30.0))


def _volume(dtype: str = "int16") -> Volume:
    array = np.arange(24, dtype=dtype).reshape(2, 3, 4)
    return Volume(array, (3.0, 2.0, 1.0), (10.0, 20.0, 30.0), IDENTITY, "ct_hu")


def test_a_written_volume_reads_back_on_its_grid(tmp_path: Path):
    write_volume(_volume(), tmp_path / "new" / "ct.nii.gz")
    read = read_volume(tmp_path / "new" / "ct.nii.gz", "ct_hu")
    np.testing.assert_array_equal(read.array_zyx, _volume().array_zyx)
    assert read.array_zyx.dtype == np.float32
    assert read.spacing_zyx_mm == (3.0, 2.0, 1.0)
    assert read.origin_xyz_mm == (10.0, 20.0, 30.0)
    assert read.quantity == "ct_hu"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["ct.nii.gz"]


def test_equal_volumes_are_equal_files(tmp_path: Path):
    write_volume(_volume(), tmp_path / "a.nii.gz")
    write_volume(_volume(), tmp_path / "b.nii.gz")
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    assert (tmp_path / "a.nii.gz").read_bytes()[4:8] == bytes(4)  # no time in it


def test_a_turned_grid_survives_the_file(tmp_path: Path):
    quarter = (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    volume = Volume(np.zeros((2, 3, 4), np.float32), (3.0, 2.0, 1.0), (1.0, 2.0, 3.0), quarter, "pet_suv")
    write_volume(volume, tmp_path / "pet.nii.gz")
    assert same_grid(read_volume(tmp_path / "pet.nii.gz", "pet_suv"), volume)


def test_a_mask_keeps_the_values_it_is_stored_with(tmp_path: Path):
    mask = Volume(np.full((2, 2, 2), 255, np.uint8), (1, 1, 1), (0, 0, 0), IDENTITY, "mask")
    write_volume(mask, tmp_path / "gtv.nii.gz")
    read = read_volume(tmp_path / "gtv.nii.gz", "mask")
    assert read.array_zyx.dtype == np.uint8
    assert read.array_zyx.max() == 255


def test_the_first_array_axis_is_z_in_the_image():
    image = to_image(_volume())
    assert image.GetSize() == (4, 3, 2)
    assert image.GetSpacing() == (1.0, 2.0, 3.0)
    assert image.GetPixel(1, 0, 0) == 1


def test_a_volume_shares_no_memory_with_its_image():
    volume = _volume("float32")
    image = to_image(volume)
    image[0, 0, 0] = 99
    assert volume.array_zyx[0, 0, 0] == 0


def test_the_header_alone_gives_the_grid(tmp_path: Path):
    write_volume(_volume(), tmp_path / "ct.nii.gz")
    assert read_grid(tmp_path / "ct.nii.gz") == _volume().grid


@pytest.mark.parametrize("read", [lambda path: read_volume(path, "ct_hu"), read_grid])
def test_a_file_that_is_missing_broken_or_not_3d_is_named(tmp_path: Path, read):
    broken, flat = tmp_path / "broken.nii.gz", tmp_path / "flat.nii.gz"
    broken.write_bytes(b"no image")
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((3, 4), np.float32)), str(flat))
    for path, found in [
        (tmp_path / "absent.nii.gz", "does not exist"),
        (broken, "not as NIfTI must be"),
        (flat, "2 dim"),
    ]:
        with pytest.raises(CaseError, match=found) as raised:
            read(path)
        assert str(path) in str(raised.value)


def test_a_color_image_is_refused(tmp_path: Path):
    path = tmp_path / "color.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((2, 3, 4, 3), np.float32), isVector=True), str(path))
    with pytest.raises(CaseError, match=r"3 value\(s\) a voxel"):
        read_volume(path, "pet_suv")


def test_a_folder_that_is_a_file_is_a_storage_error(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"ct\.nii\.gz could not be written"):
        write_volume(_volume(), tmp_path / "file" / "ct.nii.gz")


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (Grid((4, 5, 6), (3.0, 2.0, 1.0), (10.00001, 20.0, 30.0)), True),
        (Grid((4, 5, 6), (3.0, 2.0, 1.0), (10.2, 20.0, 30.0)), False),
        (Grid((4, 5, 6), (3.1, 2.0, 1.0), (10.0, 20.0, 30.0)), False),
        (Grid((5, 5, 6), (3.0, 2.0, 1.0), (10.0, 20.0, 30.0)), False),
        (Grid((4, 5, 6), (3.0, 2.0, 1.0), (10.0, 20.0, 30.0), (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)), False),
    ],
)
def test_grids_are_the_same_within_a_tenth_of_a_voxel(other: Grid, same):
    assert same_grid(GRID, other) is same
    assert same_grid(other, GRID) is same


def test_bounds_reach_half_a_voxel_beyond_the_outer_centers():
    np.testing.assert_allclose(bounds_xyz_mm(GRID), [[9.5, 19.0, 28.5], [15.5, 29.0, 40.5]])


def test_a_full_disk_is_told_by_the_error_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """A file of 4 kB does not fit where 2 kB are allowed; nothing else is printed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(StorageError, match="could not be written"):
            write_volume(
                Volume(np.ones((10, 10, 10), np.float32), (1, 1, 1), (0, 0, 0), IDENTITY, "ct_hu"),
                tmp_path / "ct.nii.gz",
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []
