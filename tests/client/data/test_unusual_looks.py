"""What is unusual about a case: told, and the case is used."""

from pathlib import Path

import numpy as np
import pytest

from client.data.checks import Subject
from client.data.unusual_looks import mask_looks, parts_ml, spacing_looks, unusual_looks
from client.data.volume import IDENTITY, Grid, Volume
from tests.support.two_cases import case_of, scan, sound_pet, write_file

SUBJECT = Subject("a", "one", Path("one"))


def mask(*blocks: tuple[int, int], spacing_mm: float = 10.0) -> Volume:
    """Blocks of a given start and side along the diagonal; a voxel is 1 ml."""
    array = np.zeros((12, 12, 12), np.uint8)
    for start, side in blocks:
        array[(slice(start, start + side),) * 3] = 1
    return Volume(array, (spacing_mm,) * 3, (0.0, 0.0, 0.0), IDENTITY, "mask")


@pytest.mark.parametrize(
    ("spacing_mm", "told"),
    [
        ((3.0, 1.0, 1.0), []),
        ((8.0, 1.0, 1.0), []),
        ((8.1, 1.0, 1.0), [("anisotropic", "note")]),
        ((10.1, 5.0, 5.0), [("spacing", "warning")]),
        ((3.0, 0.1, 0.1), [("spacing", "warning")]),
    ],
)
def test_a_spacing_is_told_where_no_scanner_has_it(spacing_mm: tuple[float, float, float], told: list):
    issues = spacing_looks(SUBJECT, "ct.nii.gz", Grid((4, 4, 4), spacing_mm))
    assert [(issue.code, issue.grade) for issue in issues] == told


def test_the_parts_of_a_mask_are_measured_largest_first():
    assert parts_ml(mask((0, 1), (4, 2))) == pytest.approx([8.0, 1.0])
    assert parts_ml(mask((0, 2), (2, 2))) == pytest.approx([16.0]), "corners touch"
    assert parts_ml(mask()) == []


def test_several_tumours_are_a_note_with_their_volumes():
    (issue,) = mask_looks(SUBJECT, "gtv.nii.gz", mask((0, 1), (4, 2)), None)
    assert (issue.code, issue.grade) == ("mask-parts", "note")
    assert "2 parts of 8.00, 1.00 ml" in issue.message


def test_a_tiny_mask_is_a_note():
    """One voxel of 3.6 mm is 0.047 ml, one of 3.7 mm 0.051 ml."""
    (issue,) = mask_looks(SUBJECT, "gtv.nii.gz", mask((0, 1), spacing_mm=3.6), None)
    assert (issue.code, issue.grade) == ("mask-small", "note")
    assert list(mask_looks(SUBJECT, "gtv.nii.gz", mask((0, 1), spacing_mm=3.7), None)) == []


@pytest.mark.parametrize(("hu", "told"), [(-901.0, ["mask-in-air"]), (-899.0, [])])
def test_a_mask_in_the_air_is_a_warning(hu: float, told: list[str]):
    drawn = mask((0, 2))
    ct = Volume(np.full((12, 12, 12), hu, np.float32), drawn.spacing_zyx_mm, drawn.origin_xyz_mm, IDENTITY, "ct_hu")
    issues = unusual_looks(SUBJECT, {"ct.nii.gz": ct, "gtv.nii.gz": drawn})
    assert [issue.code for issue in issues] == told
    assert all(issue.grade == "warning" for issue in issues)


def test_pet_below_zero_is_a_note_and_the_case_is_used(folder: Path):
    write_file(folder / "one" / "pet.nii.gz", sound_pet() - 0.1, 4.0, "pet_suv", origin=(1.0, 1.0, 0.0))
    case = case_of(scan(folder))
    assert [(issue.code, issue.grade) for issue in case.issues] == [("pet-negative", "note")]
    assert case.usable


def test_a_case_that_is_left_out_is_judged_no_further(folder: Path):
    write_file(folder / "one" / "pet.nii.gz", sound_pet() - 0.1, 4.0, "pet_suv", origin=(1.0, 1.0, 900.0))
    assert [issue.code for issue in case_of(scan(folder)).issues] == ["no-overlap"]
