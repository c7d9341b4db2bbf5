"""Which labels of a file are the target, and where a mask lies."""

import numpy as np
import pytest

from client.convert.contract import subject_of
from client.convert.label_maps import LabelTable, pick_target, place_mask, volume_ml
from client.data.volume import IDENTITY, Grid, Volume
from tests.support.nifti_files import CT_GRID, PET_GRID

SUBJECT = subject_of("case-x")
TABLE = LabelTable({"GTVp": (1,), "GTVn": (2,)}, whole=False)


def _labels(*values, grid: Grid = CT_GRID) -> Volume:
    array = np.zeros(grid.shape_zyx, np.asarray(values).dtype)
    array[0, 0, : len(values)] = values
    return Volume(array, grid.spacing_zyx_mm, grid.origin_xyz_mm, IDENTITY, "mask")


def _image(grid: Grid, quantity) -> Volume:
    return Volume(np.zeros(grid.shape_zyx), grid.spacing_zyx_mm, grid.origin_xyz_mm, IDENTITY, quantity)


@pytest.mark.parametrize(
    ("rois", "inside", "names"),
    [("gtvp", 1, ("GTVp",)), ("GTVn$", 2, ("GTVn",)), ("gtv", 3, ("GTVp", "GTVn"))],
)
def test_the_target_is_what_the_pattern_finds_in_any_capitals(rois, inside, names):
    mask, found, issues = pick_target(_labels(1, 2, 2), TABLE, rois, SUBJECT, "")
    assert mask is not None
    assert (int(mask.array_zyx.sum()), found, issues) == (inside, names, [])
    assert mask.array_zyx.dtype == np.uint8


def test_all_labels_are_the_target_where_the_layout_says_so():
    mask, names, _ = pick_target(_labels(2, 2), LabelTable(TABLE.values, whole=True), None, SUBJECT, "")
    assert mask is not None
    assert (int(mask.array_zyx.sum()), names) == (2, ("GTVn",))


def test_a_file_of_one_value_is_a_mask_whatever_the_value():
    mask, names, issues = pick_target(_labels(255), None, None, SUBJECT, "")
    assert mask is not None
    assert (int(mask.array_zyx.max()), names, issues) == (1, (), [])


@pytest.mark.parametrize(
    ("values", "table", "rois", "code"),
    [
        ((1, 2), TABLE, None, "several-rois"),
        ((1, 2), None, None, "several-rois"),
        ((1,), TABLE, "node", "no-roi"),
        ((1, 3), TABLE, "gtv", "mask-values"),
        ((0.5, 1.0), None, None, "mask-values"),
        ((1, 9), LabelTable({"tumour": (1,)}, whole=False, unjudged=(9,)), None, "mask-unjudged"),
    ],
)
def test_what_does_not_say_which_voxels_are_tumour_gives_no_mask(values, table, rois, code):
    mask, _, issues = pick_target(_labels(*values), table, rois, SUBJECT, "/archive/jane.nii.gz")
    assert mask is None
    assert [(issue.code, issue.grade, issue.source) for issue in issues] == [(code, "error", "/archive/jane.nii.gz")]
    assert "jane" not in issues[0].message


def test_a_mask_on_the_pet_becomes_blocks_on_the_ct_of_the_same_volume():
    """One PET voxel is 2 x 2 CT voxels of 3 mm3: a block of 2 x 2 x 2 PET voxels is 96 mm3 on both."""
    mask = _labels(grid=PET_GRID)
    mask.array_zyx[2:4, 2:4, 2:4] = 1
    placed, issues = place_mask(mask, _image(CT_GRID, "ct_hu"), _image(PET_GRID, "pet_suv"), SUBJECT, "")
    assert placed is not None
    assert placed.grid == CT_GRID
    assert volume_ml(mask) == pytest.approx(0.096)
    assert placed.array_zyx[2:4, 4:8, 4:8].all()
    assert int(placed.array_zyx.sum()) == 2 * 16
    assert [(issue.code, issue.grade) for issue in issues] == [("mask-resampled", "note")]
    assert "0.10 ml, resampled to the CT's, 0.10 ml" in issues[0].message


def test_a_lesion_that_the_ct_does_not_cover_is_told():
    short = Grid((3, 16, 16), (3.0, 1.0, 1.0), CT_GRID.origin_xyz_mm)
    mask = _labels(grid=PET_GRID)
    mask.array_zyx[2:6, 2:4, 2:4] = 1
    _, issues = place_mask(mask, _image(short, "ct_hu"), _image(PET_GRID, "pet_suv"), SUBJECT, "")
    assert [(issue.code, issue.grade) for issue in issues] == [("mask-resampled", "warning")]


def test_a_mask_on_no_image_is_not_moved():
    """A mask of the CT's shape whose header lost its place would land beside the tumour."""
    lost = Grid(CT_GRID.shape_zyx, CT_GRID.spacing_zyx_mm)
    placed, issues = place_mask(_labels(1, grid=lost), _image(CT_GRID, "ct_hu"), None, SUBJECT, "")
    assert placed is None
    assert [(issue.code, issue.grade) for issue in issues] == [("mask-grid", "error")]


def test_without_a_ct_a_mask_stays_on_the_pet():
    placed, issues = place_mask(_labels(1, grid=PET_GRID), None, _image(PET_GRID, "pet_suv"), SUBJECT, "")
    assert placed is not None
    assert (placed.grid, issues) == (PET_GRID, [])
