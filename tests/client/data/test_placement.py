"""Two places, and none: told by the scan of a center's folder."""

import struct
from pathlib import Path

import pytest

from client.data.image_formats import raise_if_unreadable
from client.data.placement import disagreement_mm
from client.data.scan import scan_center
from tests.support.nifti_files import CT_GRID, write_ct, write_pet


def found(folder: Path) -> list[tuple[str, str, str]]:
    issues = scan_center("a", [folder], ("ct", "pet")).all_issues
    return [(issue.code, issue.file, issue.grade) for issue in issues if issue.code in {"two-places", "no-place"}]


def write(path: Path, form: str, at: int, *values: float) -> None:
    """Write a plain file under the name of a packed one; readers go by its first bytes."""
    content = bytearray(path.read_bytes())
    struct.pack_into(form, content, at, *values)
    path.with_suffix(".nii.gz").write_bytes(content)
    path.unlink()


def test_an_image_in_two_places_is_told_with_millimeters(tmp_path: Path):
    write(write_ct(tmp_path / "one" / "ct.nii"), "<f", 280 + 4 * 3, 12.0)
    assert found(tmp_path) == [("two-places", "ct.nii.gz", "warning")]
    assert disagreement_mm(tmp_path / "one" / "ct.nii.gz") == pytest.approx(4)


def test_images_on_two_grids_need_a_place_and_images_on_one_need_none(tmp_path: Path):
    write_ct(tmp_path / "one" / "ct.nii.gz")
    write(write_pet(tmp_path / "one" / "pet.nii"), "<2h", 252, 0, 0)
    assert found(tmp_path) == [("no-place", "pet.nii.gz", "error")]
    write_pet(tmp_path / "one" / "pet.nii.gz", grid=CT_GRID)
    assert found(tmp_path) == []


def test_a_place_half_a_millimeter_off_is_one(tmp_path: Path):
    path = write_ct(tmp_path / "ct.nii")
    content = bytearray(path.read_bytes())
    struct.pack_into("<f", content, 280 + 4 * 3, 8.4)
    path.write_bytes(content)
    raise_if_unreadable(path)
    assert disagreement_mm(path) == 0
