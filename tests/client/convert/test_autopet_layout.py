"""autoPET's NIfTI files."""

from pathlib import Path

from client.convert.autopet_layout import find_autopet_cases, recognize_autopet
from client.convert.contract import Choices
from tests.support.nifti_files import CT_GRID, PET_GRID, codes, read_only, write_ct, write_labels, write_pet

BOX = (slice(2, 4), slice(2, 4), slice(2, 4))


def _study(root: Path, study: str = "PETCT_1/08-02-2003-NA-1") -> Path:
    folder = root / study
    write_ct(folder / "CT.nii.gz")
    write_ct(folder / "CTres.nii.gz", grid=PET_GRID)
    write_pet(folder / "SUV.nii.gz", peak=5)
    write_pet(folder / "PET.nii.gz", peak=25000)
    write_labels(folder / "SEG.nii.gz", {1: BOX}, PET_GRID)
    return root


def test_suv_is_taken_and_not_activity_and_the_contour_lies_on_the_ct(tmp_path: Path):
    read = read_only(find_autopet_cases(_study(tmp_path), Choices()))
    assert read.pet is not None
    assert read.ct is not None
    assert read.gtv is not None
    assert (float(read.pet.array_zyx.max()), read.ct.grid, read.gtv.grid) == (5.0, CT_GRID, CT_GRID)
    assert codes(read) == [("mask-resampled", "gtv.nii.gz", "note")]


def test_without_the_ct_its_resampled_form_is_taken_and_the_contour_untouched(tmp_path: Path):
    folder = _study(tmp_path) / "PETCT_1" / "08-02-2003-NA-1"
    (folder / "CT.nii.gz").unlink()
    read = read_only(find_autopet_cases(tmp_path, Choices()))
    assert read.gtv is not None
    assert (read.gtv.grid, int(read.gtv.array_zyx.sum())) == (PET_GRID, 8)
    assert codes(read) == [("ct-resampled", "ct.nii.gz", "note")]


def test_activity_alone_is_no_pet(tmp_path: Path):
    folder = _study(tmp_path) / "PETCT_1" / "08-02-2003-NA-1"
    (folder / "SUV.nii.gz").unlink()
    read = read_only(find_autopet_cases(tmp_path, Choices()))
    assert read.pet is None
    assert ("no-suv", "pet.nii.gz", "warning") in codes(read)


def test_two_studies_are_two_cases_of_one_patient(tmp_path: Path):
    _study(_study(tmp_path), "PETCT_1/08-02-2004-NA-2")
    found = find_autopet_cases(tmp_path, Choices())
    assert [(case.identity, case.patient) for case in found.cases] == [
        ("PETCT_1/08-02-2003-NA-1", "PETCT_1"),
        ("PETCT_1/08-02-2004-NA-2", "PETCT_1"),
    ]


def test_a_folder_is_recognized_by_suv_beside_a_ct(tmp_path: Path):
    write_pet(tmp_path / "a" / "SUV.nii.gz")
    assert recognize_autopet(tmp_path) == ""
    assert "SUV.nii.gz" in recognize_autopet(_study(tmp_path))
