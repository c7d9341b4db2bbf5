"""Whatever a reader does, its case says what became of it, and nothing that it says names a patient."""

from dataclasses import replace
from pathlib import Path

import pytest

from client.convert.case_conversion import convert_case
from client.convert.discretion import WITHHELD
from client.data.conversion import PetValues
from client.data.conversion_file import read_conversion
from client.data.image_cases import scan_images
from client.data.volume import read_volume
from protocol.errors import StorageError
from tests.support.found_cases import found_case, task_of


def _yes() -> bool:
    return True


def test_a_case_is_converted_with_its_record(tmp_path: Path) -> None:
    outcome = convert_case(task_of(found_case(tmp_path, "a"), tmp_path / "case-a"))
    assert (outcome.state, outcome.files) == ("converted", ("ct.nii.gz", "gtv.nii.gz", "pet.nii.gz"))
    assert read_volume(tmp_path / "case-a/ct.nii.gz", "ct_hu").array_zyx.max() == 60
    record = read_conversion(tmp_path / "case-a")
    assert record == outcome.record
    assert record.pet_values == PetValues("bw", "units", "GML")
    assert record.contours_from == "image"
    assert record.registration is not None
    assert outcome.peak_mib > 10


def test_values_are_judged_as_check_judges_them(tmp_path: Path) -> None:
    """Nothing in the CT is above 5 HU: no tissue."""
    outcome = convert_case(task_of(found_case(tmp_path, "a", hu=5), tmp_path / "case-a"))
    assert [(issue.code, issue.file) for issue in outcome.record.issues if issue.fatal] == [("ct-not-hu", "ct.nii.gz")]
    (case,) = scan_images("a", tmp_path, ["ct", "pet"], lambda: None)
    assert [issue.code for issue in case.issues].count("ct-not-hu") == 1


def test_contours_that_gave_no_mask_are_lacking(tmp_path: Path) -> None:
    found = replace(found_case(tmp_path, "a"), has_contours=_yes)
    outcome = convert_case(task_of(found, tmp_path / "case-a"))
    assert outcome.lacking == ()
    failed = convert_case(
        task_of(replace(found_case(tmp_path, "b", "nothing"), has_contours=_yes), tmp_path / "case-b")
    )
    assert failed.lacking == ("ct", "pet", "gtv")


def test_names_stay_with_the_outcome_alone(tmp_path: Path) -> None:
    outcome = convert_case(task_of(found_case(tmp_path, "a"), tmp_path / "case-a"))
    assert outcome.record.rois == ("GTV", WITHHELD)
    assert "Mueller" in {issue.source for issue in outcome.issues}
    assert "Mueller" not in (tmp_path / "case-a/conversion.json").read_text()


@pytest.mark.parametrize(
    ("ending", "code", "source"),
    [
        ("refuse", "not-read", "a of Mueller cannot be read"),
        ("raise", "unexpected", "ZeroDivisionError: of Mueller"),
        ("memory", "memory", ""),
        ("nothing", "no-image", ""),
    ],
)
def test_a_case_that_cannot_be_read_says_so_in_its_folder(tmp_path: Path, ending, code: str, source: str) -> None:
    outcome = convert_case(task_of(found_case(tmp_path, "a", ending), tmp_path / "case-a"))
    assert outcome.state == "failed"
    (error,) = [issue for issue in outcome.issues if issue.fatal]
    assert error.code == code
    assert error.source.endswith(source)
    record = read_conversion(tmp_path / "case-a")
    assert record is not None
    assert code in {issue.code for issue in record.issues if issue.fatal}
    assert "Mueller" not in (tmp_path / "case-a/conversion.json").read_text()
    assert [path.name for path in (tmp_path / "case-a").iterdir()] == ["conversion.json"]


def test_a_case_that_fails_later_keeps_its_images_and_is_kept_out(tmp_path: Path) -> None:
    convert_case(task_of(found_case(tmp_path, "a"), tmp_path / "case-a"))
    outcome = convert_case(task_of(found_case(tmp_path, "a", "refuse"), tmp_path / "case-a"))
    assert (outcome.state, outcome.files) == ("failed", ("ct.nii.gz", "gtv.nii.gz", "pet.nii.gz"))
    record = read_conversion(tmp_path / "case-a")
    assert record is not None
    assert [issue.code for issue in record.issues if issue.fatal] == ["not-read"]
    assert record.pet_values == PetValues("bw", "units", "GML")


def test_a_full_disk_is_no_issue_of_a_case(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        convert_case(task_of(found_case(tmp_path, "a", "full"), tmp_path / "case-a"))


@pytest.mark.parametrize(("change", "state"), [("none", "unchanged"), ("source", "converted"), ("result", "converted")])
def test_only_what_changed_is_converted_again(tmp_path: Path, change: str, state: str) -> None:
    first = convert_case(task_of(found_case(tmp_path, "a"), tmp_path / "case-a"))
    if change == "source":
        (tmp_path / "a").write_text("100")
    if change == "result":
        (tmp_path / "case-a/pet.nii.gz").unlink()
    second = convert_case(task_of(found_case(tmp_path, "a"), tmp_path / "case-a", first.done))
    assert second.state == state
    assert second.record.issues == first.record.issues
    assert (tmp_path / "case-a/pet.nii.gz").exists()
    assert read_volume(tmp_path / "case-a/ct.nii.gz", "ct_hu").array_zyx.max() == (100 if change == "source" else 60)
