"""What is wrong with the voxels of a case and with how its images lie in space."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from client.data.checks import Subject, coverage, overlap_issues
from client.data.volume import IDENTITY, Grid, Volume
from tests.support.two_cases import (
    CENTER,
    SHAPE,
    Origin,
    case_of,
    codes_of,
    scan,
    sound_ct,
    sound_gtv,
    sound_pet,
    write_file,
)


@pytest.mark.parametrize(
    ("file", "origin", "spacing_mm"), [("gtv", (0.5, 0.0, 0.0), 2.0), ("gtv", CENTER, 2.2), ("gtv", (0, 0, 30.0), 2.0)]
)
def test_a_mask_on_another_grid_is_quarantined(folder: Path, file: str, origin: Origin, spacing_mm: float):
    write_file(folder / "one" / f"{file}.nii.gz", sound_gtv(), spacing_mm, "mask", origin)
    manifest = scan(folder)
    assert codes_of(case_of(manifest)) == [("mask-grid", True)]
    message = manifest.all_issues[0].message
    assert "center 'a', case 'one': gtv.nii.gz: found grid" in message
    assert "expected grid zyx (6, 8, 10) of (3.00, 2.00, 2.00) mm" in message
    assert "resample" in message


def test_a_mask_rounded_in_its_header_lies_on_the_grid(folder: Path):
    write_file(folder / "one" / "gtv.nii.gz", sound_gtv(), 2.0001, "mask", origin=(0.001, 0.0, 0.0))
    assert codes_of(case_of(scan(folder))) == []


def with_value(array: NDArray, value: float) -> NDArray:
    changed = array.copy()
    changed[1, 1, 1] = value
    return changed


@pytest.mark.parametrize(
    ("file", "array", "expected"),
    [
        ("ct", with_value(sound_ct(), np.nan), ("not-finite", True)),
        ("pet", with_value(sound_pet(), np.inf), ("not-finite", True)),
        ("gtv", with_value(sound_gtv().astype(np.float32), np.nan), ("not-finite", True)),
        ("ct", np.full(SHAPE, -1000, np.int16), ("constant", True)),
        ("pet", np.zeros((6, 4, 5), np.float32), ("constant", True)),
        ("ct", sound_ct() + 1024, ("ct-not-hu", True)),
        ("ct", sound_ct() / 3000, ("ct-not-hu", True)),
        ("ct", sound_ct() - 2000, ("ct-not-hu", True)),
        ("pet", sound_pet() * 1000, ("pet-not-suv", True)),
        ("pet", sound_pet() * 30, ("pet-not-suv", True)),
        ("pet", with_value(sound_pet(), 2000), ("pet-not-suv", True)),
        ("pet", sound_pet() / 100, ("pet-not-suv", True)),
        ("pet", sound_pet() - 6, ("pet-not-suv", True)),
        ("gtv", sound_gtv() * 255, ("mask-values", True)),
        ("gtv", sound_gtv() * np.float32(0.7), ("mask-values", True)),
        ("gtv", np.zeros(SHAPE, np.uint8), ("mask-empty", False)),
    ],
)
def test_voxels_that_are_not_what_the_file_says(folder: Path, file: str, array: NDArray, expected: tuple[str, bool]):
    geometry = {"ct": (2.0, CENTER), "gtv": (2.0, CENTER), "pet": (4.0, (1.0, 1.0, 0.0))}
    spacing_mm, origin = geometry[file]
    write_file(folder / "one" / f"{file}.nii.gz", array, spacing_mm, "mask", origin)
    manifest = scan(folder)
    assert codes_of(case_of(manifest)) == [expected]
    message = manifest.all_issues[0].message
    for part in (f"center 'a', case 'one': {file}.nii.gz", "found", "expected", str(folder / "one")):
        assert part in message


def test_noise_just_below_zero_is_a_pet(folder: Path):
    write_file(folder / "one" / "pet.nii.gz", with_value(sound_pet(), -0.4), 4.0, "pet_suv", origin=(1.0, 1.0, 0.0))
    assert codes_of(case_of(scan(folder))) == [("pet-negative", False)]


def test_a_ct_named_pet_and_a_pet_named_ct_are_recognised(folder: Path):
    shutil.copy(folder / "one" / "ct.nii.gz", folder / "one" / "pet.nii.gz")
    assert codes_of(case_of(scan(folder))) == [("pet-is-ct", True)]
    shutil.copy(folder / "two" / "pet.nii.gz", folder / "one" / "ct.nii.gz")
    (folder / "one" / "gtv.nii.gz").unlink()
    issues = case_of(scan(folder)).issues
    assert "it may be a PET" in next(issue.message for issue in issues if issue.code == "ct-not-hu")


def test_a_pet_elsewhere_in_space_is_quarantined(folder: Path):
    write_file(folder / "one" / "pet.nii.gz", sound_pet(), 4.0, "pet_suv", origin=(0.0, 0.0, 500.0))
    assert codes_of(case_of(scan(folder))) == [("no-overlap", True)]


def test_a_pet_over_half_of_the_ct_is_told_and_used(folder: Path):
    write_file(folder / "one" / "pet.nii.gz", sound_pet()[:3], 4.0, "pet_suv", origin=(1.0, 1.0, 0.0))
    manifest = scan(folder)
    assert codes_of(case_of(manifest)) == [("pet-partial", False)]
    assert "PET over 50% of the CT" in manifest.all_issues[0].message


def test_a_case_of_no_center_is_named_alone():
    issue = Subject("", "case-x", Path("case-x")).issue("code", "pet.nii.gz", "1", "2", "do")
    assert issue.message == "case 'case-x': pet.nii.gz: found 1, expected 2; do (case-x/pet.nii.gz)"


def test_a_finding_about_nobody_begins_with_what_was_found():
    about_source = Subject("", "", Path()).issue("code", "", "two cases", "one", "nothing to do")
    assert about_source.message == "found two cases, expected one; nothing to do"
    about_folder = Subject("", "", Path("data")).issue("code", "", "no case", "one", "add one")
    assert about_folder.message == "folder: found no case, expected one; add one (data)"


def test_a_pet_two_slices_shorter_than_the_ct_is_no_issue():
    ct = Volume(np.zeros((63, 4, 4)), (3.27, 1, 1), (0, 0, 0), IDENTITY, "ct_hu")
    pet = Volume(np.zeros((61, 4, 4)), (3.27, 1, 1), (0, 0, 3.27), IDENTITY, "pet_suv")
    assert overlap_issues(Subject("a", "x", Path("x")), "pet.nii.gz", ct, pet) == []


def test_coverage_is_a_share_of_the_ct():
    ct = Grid((10, 10, 10), (1, 1, 1))
    assert coverage(ct, Grid((10, 10, 5), (1, 1, 1))) == 0.5
    assert coverage(ct, Grid((20, 20, 20), (1, 1, 1), (-5, -5, -5))) == 1.0
    assert coverage(ct, Grid((10, 10, 10), (1, 1, 1), (10, 0, 0))) == 0.0
