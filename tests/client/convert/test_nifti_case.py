"""The files of a case on the grids that the main job knows, and what headers do not say."""

import pickle
import struct
from pathlib import Path

import pytest

from client.convert.contract import Choices
from client.convert.nifti_case import NiftiCase, Remark, require_body_weight
from client.data.conversion import PetValues
from client.data.volume import Grid
from protocol.errors import CaseError
from tests.support.nifti_files import CT_GRID, PET_GRID, codes, write_ct, write_labels, write_pet


def _case(folder: Path, **changes) -> NiftiCase:
    box = (slice(1, 3), slice(4, 6), slice(4, 6))
    return NiftiCase(
        **{
            "ct": write_ct(folder / "jane_ct.nii"),
            "pet": write_pet(folder / "jane_pet.nii"),
            "gtv": write_labels(folder / "jane_seg.nii", {1: box}),
            "suv": "bw",
            **changes,
        }
    )


def _at(path: Path, layout: str, offset: int, *values: float) -> None:
    content = bytearray(path.read_bytes())
    struct.pack_into(layout, content, offset, *values)
    path.write_bytes(content)


def test_a_case_reads_in_another_process_as_here(tmp_path: Path):
    read = pickle.loads(pickle.dumps(_case(tmp_path)))("case-x")
    assert (read.ct.grid, read.pet.grid, read.gtv.grid) == (CT_GRID, PET_GRID, CT_GRID)
    assert (int(read.gtv.array_zyx.sum()), read.issues, read.contours_from) == (8, (), "image")
    assert read.pet_values == PetValues("bw", "declared")
    assert read.origins["pet_files"] == [str(tmp_path / "jane_pet.nii")]


def test_a_pet_of_which_nobody_says_what_it_holds_is_left_out(tmp_path: Path):
    read = _case(tmp_path, suv=None)("case-x")
    assert (read.pet, read.pet_values) == (None, None)
    assert codes(read) == [("pet-quantity", "pet.nii.gz", "warning")]


def test_a_file_that_is_cut_off_is_an_error_that_names_no_patient(tmp_path: Path):
    case = _case(tmp_path)
    content = (tmp_path / "jane_ct.nii").read_bytes()
    (tmp_path / "jane_ct.nii").write_bytes(content[:-10])
    read = case("case-x")
    assert read.ct is None
    assert codes(read)[0] == ("unreadable", "ct.nii.gz", "warning")
    assert "cut off" in read.issues[0].message
    assert not any("jane" in issue.message for issue in read.issues)
    assert "jane" in read.issues[0].source


def test_a_series_in_time_is_no_3d_image(tmp_path: Path):
    case = _case(tmp_path)
    _at(tmp_path / "jane_pet.nii", "<5h", 40, 4, 8, 8, 3, 2)
    read = case("case-x")
    assert read.pet is None
    assert ("unreadable", "pet.nii.gz", "warning") in codes(read)
    assert any("4 dimensions" in issue.message for issue in read.issues)


def test_a_header_that_puts_an_image_in_two_places_is_told_with_millimeters(tmp_path: Path):
    case = _case(tmp_path)
    _at(tmp_path / "jane_ct.nii", "<f", 280 + 4 * 3, 12.0)
    told = [issue for issue in case("case-x").issues if issue.code == "two-places"]
    assert [(issue.file, issue.grade) for issue in told] == [("ct.nii.gz", "warning")]
    assert "4.0 mm apart" in told[0].message


def test_images_on_two_grids_need_a_place_in_space(tmp_path: Path):
    case = _case(tmp_path)
    _at(tmp_path / "jane_pet.nii", "<2h", 252, 0, 0)
    assert ("no-place", "pet.nii.gz", "error") in codes(case("case-x"))


def test_images_on_one_grid_need_none(tmp_path: Path):
    origin = Grid(CT_GRID.shape_zyx, CT_GRID.spacing_zyx_mm)
    case = NiftiCase(write_ct(tmp_path / "a.nii", grid=origin), write_pet(tmp_path / "b.nii", grid=origin), suv="bw")
    for name in ("a.nii", "b.nii"):
        _at(tmp_path / name, "<2h", 252, 0, 0)
    assert "no-place" not in {code for code, _, _ in codes(case("case-x"))}


def test_what_a_layout_remarks_is_about_the_case(tmp_path: Path):
    remark = Remark("no-suv", "pet.nii.gz", "activity", "SUV", "convert from DICOM", "warning", "/archive/jane")
    read = NiftiCase(ct=write_ct(tmp_path / "a.nii"), remarks=(remark,))("case-x")
    assert [(issue.case, issue.code, issue.source) for issue in read.issues] == [("case-x", "no-suv", "/archive/jane")]


def test_another_suv_cannot_be_made_of_files():
    with pytest.raises(CaseError, match="--suv lbm"):
        require_body_weight(Choices(suv="lbm"))
