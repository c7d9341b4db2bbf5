"""How far a PET lies from its CT, on phantoms whose shift is known."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from client.convert.registration import (
    UNKNOWN,
    SharedSpace,
    compare_bodies,
    compare_in_space,
    mutual_information,
    registration_issues,
)
from client.data.checks import Subject
from client.data.conversion import Registration
from client.data.volume import IDENTITY, Volume

SUBJECT = Subject("", "case-a", Path("case-a"))


def _pair(shift_xyz_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> tuple[Volume, Volume]:
    """An elliptic body with a tumour and a lung on 4 mm voxels, 160 x 192 x 128 mm; the PET is blurred and shifted."""
    z, y, x = np.meshgrid(*(4.0 * np.arange(n) for n in (32, 48, 40)), indexing="ij")
    body = ((x - 80) / 55) ** 2 + ((y - 96) / 75) ** 2 + ((z - 64) / 90) ** 2 < 1
    lung = (x - 60) ** 2 + (y - 80) ** 2 + (z - 50) ** 2 < 18**2
    tumour = (x - 95) ** 2 + (y - 110) ** 2 + (z - 75) ** 2 < 12**2
    hu = np.where(lung, -800.0, np.where(body, 30.0, -1000.0)).astype(np.float32)
    suv = np.where(tumour, 8.0, np.where(lung, 0.3, np.where(body, 1.0, 0.01)))
    suv = ndimage.gaussian_filter(suv, 1.0).astype(np.float32)
    spacing, origin = (4.0, 4.0, 4.0), (0.0, 0.0, 0.0)
    return Volume(hu, spacing, origin, IDENTITY, "ct_hu"), Volume(suv, spacing, shift_xyz_mm, IDENTITY, "pet_suv")


def test_a_pair_that_fits_has_one_body() -> None:
    found = compare_in_space(*_pair())
    assert found.overlap is not None
    assert found.overlap > 0.95
    assert found.centroid_mm == pytest.approx(0, abs=0.5)
    assert found.shift_mm == pytest.approx(0, abs=2)
    assert registration_issues(SUBJECT, found) == ()


@pytest.mark.parametrize("shift", [(24.0, 0.0, 0.0), (0.0, -24.0, 0.0), (0.0, 0.0, 24.0), (16.0, 16.0, 8.0)])
def test_a_shift_of_24_mm_is_measured_and_told(shift: tuple[float, float, float]) -> None:
    found = compare_in_space(*_pair(shift))
    assert found.shift_mm == pytest.approx(24, abs=3)
    (issue,) = registration_issues(SUBJECT, found)
    assert (issue.code, issue.grade, issue.file) == ("registration", "warning", "pet.nii.gz")
    assert f"shifted by {found.shift_mm:.0f} mm" in issue.message


def test_a_pair_has_the_same_figures_each_time() -> None:
    assert compare_in_space(*_pair((8.0, 0.0, 0.0))) == compare_in_space(*_pair((8.0, 0.0, 0.0)))


def test_units_of_the_pet_do_not_matter() -> None:
    ct, pet = _pair((8.0, 0.0, 0.0))
    activity = replace(pet, array_zyx=pet.array_zyx * np.float32(5000))
    one, other = compare_in_space(ct, pet), compare_in_space(ct, activity)
    assert one.overlap == other.overlap
    assert one.shift_mm == pytest.approx(other.shift_mm, abs=0.1)


def test_bodies_that_share_a_third_have_a_dice_of_two_fifths() -> None:
    """Planes 4 to 11 show a body on CT, planes 8 to 19 on PET: 2 * 4 / (8 + 12), centroids 6 planes of 4 mm apart."""
    hu, suv = np.full((24, 40, 40), -1000.0, np.float32), np.zeros((24, 40, 40), np.float32)
    hu[4:12, 4:36, 4:36], suv[8:20, 4:36, 4:36] = 0.0, 1.0
    suv[4:8] = 0.1
    grid = sitk.Image(40, 40, 24, sitk.sitkFloat32)
    grid.SetSpacing([4.0] * 3)
    space = SharedSpace(hu, suv, grid)
    overlap, centroid_mm = compare_bodies(space)
    assert overlap == pytest.approx(2 * 4 / 20)
    assert centroid_mm == pytest.approx(4 * (13.5 - 7.5))


def test_equal_halves_share_ln_2_and_independent_ones_nothing() -> None:
    one = np.array([0, 0, 1, 1], np.float32)
    assert mutual_information(one, 5 * one) == pytest.approx(math.log(2))
    assert mutual_information(one, np.array([0, 1, 0, 1], np.float32)) == pytest.approx(0)
    assert mutual_information(one, np.zeros(4, np.float32)) == 0


def test_what_cannot_be_compared_gives_no_number() -> None:
    ct, pet = _pair()
    damaged = replace(pet, array_zyx=np.where(pet.array_zyx > 1, np.nan, pet.array_zyx))
    assert compare_in_space(ct, damaged) == UNKNOWN
    flat = replace(pet, array_zyx=np.ones_like(pet.array_zyx))
    far = replace(pet, origin_xyz_mm=(1000.0, 0.0, 0.0))
    assert compare_in_space(ct, flat) == compare_in_space(ct, far) == UNKNOWN
    (issue,) = registration_issues(SUBJECT, UNKNOWN)
    assert (issue.code, issue.grade) == ("registration-unknown", "note")


def test_an_image_without_a_body_has_no_overlap() -> None:
    ct, pet = _pair()
    air = replace(ct, array_zyx=ct.array_zyx / 2 - 500)
    assert compare_in_space(air, pet).overlap is None


def test_bodies_that_hardly_overlap_are_told() -> None:
    (issue,) = registration_issues(SUBJECT, Registration(3.0, 0.5, 0.1, 41.0))
    assert "overlap by 0.50 (Dice), centroids 41 mm apart" in issue.message


def test_a_search_that_loses_what_it_began_with_tells_no_shift_and_says_so() -> None:
    """A box in two values, its PET the same voxels on every other of x and y: the descent runs 22 mm out of it."""
    hu = np.full((12, 24, 24), -1000.0, np.float32)
    hu[2:10, 4:20, 4:20], hu[5:8, 10:14, 10:14] = 20.0, 60.0
    suv = np.where(hu > 50, 8.0, np.where(hu > -500, 1.0, 0.0)).astype(np.float32)
    ct = Volume(hu, (3.0, 2.0, 2.0), (0.0, 0.0, 0.0), IDENTITY, "ct_hu")
    pet = Volume(suv[:, ::2, ::2].copy(), (3.0, 4.0, 4.0), (0.0, 0.0, 0.0), IDENTITY, "pet_suv")
    found = compare_in_space(ct, pet)
    assert found.shift_mm is None
    (issue,) = registration_issues(SUBJECT, found)
    assert (issue.code, issue.grade) == ("registration-unknown", "note")
