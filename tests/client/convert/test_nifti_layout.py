"""NIfTI files named after what they are."""

from pathlib import Path

import pytest

from client.convert.contract import Choices, FoundCases
from client.convert.nifti_layout import find_nifti_cases, recognize_nifti
from client.data.conversion import PetValues
from protocol.errors import CaseError
from tests.support.nifti_files import codes, read_only, write_ct, write_labels, write_pet

BOX = (slice(0, 1), slice(0, 2), slice(0, 2))


def _found(root: Path, *names: str, **choices) -> FoundCases:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return find_nifti_cases(root, Choices(**choices))


@pytest.mark.parametrize(
    ("names", "identity"),
    [
        (("p1_ct.nii.gz", "p1_pet.nii.gz", "p1_ct_seg.nii.gz"), "p1"),
        (("p1/ct.nii", "p1/PT.nii.gz", "p1/gtv.nii.gz"), "p1"),
        (("P-1/P-1_CT.nii.gz", "P-1/suv.nii.gz", "P-1/P-1.tumor.nii"), "P-1"),
        (("CHUM-001 ct.nii", "CHUM-001-suvbw.nii", "CHUM-001_mask.nii"), "CHUM-001"),
    ],
)
def test_three_files_of_one_case_are_one_case(tmp_path: Path, names, identity):
    found = _found(tmp_path, *names)
    assert [(case.identity, case.patient, len(case.files)) for case in found.cases] == [(identity, identity, 3)]
    assert [found.cases[0].modalities, found.issues] == [("ct", "pet"), ()]


def test_a_case_two_folders_deep_is_of_the_patient_above_it(tmp_path: Path):
    found = _found(tmp_path, "p1/a/ct.nii", "p1/b/ct.nii", "p2/a/ct.nii")
    assert [case.patient for case in found.cases] == ["p1", "p1", "p2"]
    assert [(issue.code, issue.grade) for issue in found.issues] == [("patients", "note")]
    assert "3 cases of 2 patient(s)" in found.issues[0].message


def test_a_folder_above_all_cases_may_be_no_patient(tmp_path: Path):
    found = _found(tmp_path, "train/p1/ct.nii", "train/p2/ct.nii")
    assert [(issue.code, issue.grade) for issue in found.issues] == [("patients", "warning")]


def test_a_pet_whose_name_says_suv_needs_no_word_of_the_user(tmp_path: Path):
    write_ct(tmp_path / "p1_ct.nii.gz")
    write_pet(tmp_path / "p1_suv.nii.gz")
    write_labels(tmp_path / "p1_gtv.nii.gz", {1: BOX})
    read = read_only(find_nifti_cases(tmp_path, Choices()))
    assert (read.pet_values, read.issues) == (PetValues("bw", "declared"), ())
    with pytest.raises(CaseError, match="--suv lbm"):
        find_nifti_cases(tmp_path, Choices(suv="lbm"))


def test_what_the_user_says_of_a_pet_is_what_it_is(tmp_path: Path):
    write_pet(tmp_path / "p1_pet.nii.gz")
    assert codes(read_only(find_nifti_cases(tmp_path, Choices()))) == [("pet-quantity", "pet.nii.gz", "error")]
    read = read_only(find_nifti_cases(tmp_path, Choices(declared_suv=True, suv="lbm")))
    assert read.pet_values == PetValues("lbm", "declared")


def test_two_files_that_are_one_by_their_names_are_both_left_out(tmp_path: Path):
    write_ct(tmp_path / "p1_ct.nii.gz", 60)
    write_ct(tmp_path / "p1" / "ct.nii", 90)
    read = read_only(find_nifti_cases(tmp_path, Choices()))
    assert read.ct is None
    assert codes(read) == [("ambiguous", "ct.nii.gz", "error")]


def test_a_name_that_says_nothing_is_told(tmp_path: Path):
    found = _found(tmp_path, "p1_ct.nii", "p1_t2w.nii.gz", "notes.txt", ".p1_pet.nii")
    assert len(found.cases) == 1
    assert [(issue.code, "1 NIfTI file(s)" in issue.message) for issue in found.issues] == [("name", True)]


def test_a_published_layout_is_not_taken_for_plain_files(tmp_path: Path):
    assert recognize_nifti(tmp_path) == ""
    _found(tmp_path, "p1_ct.nii")
    assert "names say CT" in recognize_nifti(tmp_path)
    _found(tmp_path, "CHUM-001__CT.nii.gz")
    assert recognize_nifti(tmp_path) == ""
