"""HECKTOR's challenges of 2022 and 2025."""

from pathlib import Path

import pytest

from client.convert.contract import Choices
from client.convert.hecktor_layout import find_hecktor_cases, recognize_hecktor
from client.data.conversion import PetValues
from protocol.errors import CaseError
from tests.support.nifti_files import codes, read_only, write_ct, write_labels, write_pet

PRIMARY, NODE = (slice(0, 1), slice(0, 2), slice(0, 2)), (slice(3, 4), slice(0, 3), slice(0, 1))


def _images(folder: Path, patient: str) -> None:
    write_ct(folder / f"{patient}__CT.nii.gz")
    write_pet(folder / f"{patient}__PT.nii.gz")


def _of_2022(root: Path, label: str = "CHUM-001") -> Path:
    _images(root / "imagesTr", "CHUM-001")
    write_labels(root / "labelsTr" / f"{label}.nii.gz", {1: PRIMARY, 2: NODE})
    return root


def test_a_case_of_2022_has_suv_and_both_tumours(tmp_path: Path):
    read = read_only(find_hecktor_cases(_of_2022(tmp_path), Choices()))
    assert read.gtv is not None
    assert (int(read.gtv.array_zyx.sum()), read.rois) == (4 + 3, ("GTVp", "GTVn"))
    assert (read.pet_values, read.issues) == (PetValues("bw", "declared"), ())


def test_one_of_the_tumours_can_be_asked_for(tmp_path: Path):
    read = read_only(find_hecktor_cases(_of_2022(tmp_path), Choices(rois="GTVp")))
    assert read.gtv is not None
    assert (int(read.gtv.array_zyx.sum()), read.rois) == (4, ("GTVp",))


def test_a_label_written_as_the_page_of_2022_writes_it_is_found(tmp_path: Path):
    assert read_only(find_hecktor_cases(_of_2022(tmp_path, "CHUM_001"), Choices())).gtv is not None


def test_a_case_for_testing_has_no_mask(tmp_path: Path):
    _images(tmp_path / "imagesTs", "USZ-001")
    assert read_only(find_hecktor_cases(tmp_path, Choices())).gtv is None


def test_a_patient_in_the_folders_of_three_tasks_is_one_case_with_its_label(tmp_path: Path):
    for task in ("Task 1", "Task 2", "Task 3"):
        _images(tmp_path / task / "CHUM-001", "CHUM-001")
    write_labels(tmp_path / "Task 1" / "CHUM-001" / "CHUM-001.nii.gz", {1: PRIMARY})
    write_ct(tmp_path / "Task 2" / "CHUM-001" / "CHUM-001__CTPlanning.nii.gz")
    found = find_hecktor_cases(tmp_path, Choices())
    read = read_only(found)
    assert read.gtv is not None
    assert codes(read) == [("same-patient", "", "note")]
    assert [(issue.code, issue.grade, "CTPlanning" in issue.message) for issue in found.issues] == [
        ("other-images", "note", True)
    ]
    assert found.cases[0].name_rois() == ("GTVp", "GTVn")


def test_a_folder_is_recognized_by_names_of_images_alone(tmp_path: Path):
    assert recognize_hecktor(tmp_path) == ""
    assert "PATIENT__CT" in recognize_hecktor(_of_2022(tmp_path))


def test_another_suv_is_refused(tmp_path: Path):
    with pytest.raises(CaseError, match="--suv bsa"):
        find_hecktor_cases(_of_2022(tmp_path), Choices(suv="bsa"))
