"""What a correction changed, in numbers that can be counted by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from client.corrections.comparison import added_path_mm, compare, surface_dice
from client.data.volume import IDENTITY, Volume


def mask(*boxes: tuple[slice, slice, slice], shape: tuple[int, int, int] = (30, 12, 12), **spacing: object) -> Volume:
    array = np.zeros(shape, np.uint8)
    for box in boxes:
        array[box] = 1
    spacing_zyx_mm = spacing.get("spacing", (1.0, 1.0, 1.0))
    return Volume(array, spacing_zyx_mm, (0.0, 0.0, 0.0), IDENTITY, "mask")  # type: ignore[arg-type]


SQUARE = (slice(5, 6), slice(4, 8), slice(4, 8))
BESIDE = (slice(5, 6), slice(4, 8), slice(5, 9))


def test_an_added_contour_is_as_long_as_its_voxels_are_wide():
    """A square of 4 x 4 voxels has 12 on its contour, each 1.5 mm wide: 18 mm."""
    empty, square = mask().array_zyx != 0, mask(SQUARE).array_zyx != 0
    assert added_path_mm(empty, square, (3.0, 1.5, 1.5)) == pytest.approx(18.0)
    assert added_path_mm(square, empty, (3.0, 1.5, 1.5)) == 0.0


def test_voxels_that_were_on_the_contour_already_are_not_drawn():
    """Moved by one voxel, 6 of the 12 lie on the old contour."""
    one, other = mask(SQUARE).array_zyx != 0, mask(BESIDE).array_zyx != 0
    assert added_path_mm(one, other, (1.0, 1.0, 1.0)) == pytest.approx(6.0)


def test_slices_are_drawn_one_by_one():
    """Of a second slice the whole contour is new: 12; a voxel of 1 x 4 mm counts as 2 mm."""
    two = mask(SQUARE, (slice(6, 7), *SQUARE[1:])).array_zyx != 0
    assert added_path_mm(mask(SQUARE).array_zyx != 0, two, (9.0, 1.0, 4.0)) == pytest.approx(24.0)


def test_surface_within_two_millimeters_counts():
    """Rods of 20 voxels, moved by 10 along themselves: 10 are the same, 2 more lie within 2 mm; 24 of 40."""
    rods = [mask((slice(start, start + 20), slice(5, 6), slice(5, 6))).array_zyx != 0 for start in (0, 10)]
    assert surface_dice(*rods, (1.0, 1.0, 1.0)) == pytest.approx(0.6)
    assert surface_dice(*rods, (3.0, 1.0, 1.0)) == pytest.approx(0.5), "the next voxel is 3 mm away"


def test_volumes_are_before_and_after_in_ml():
    """16 voxels of 0.5 ml; 4 are added and 4 removed, 12 stay: Dice 24 / 32."""
    spacing = (5.0, 10.0, 10.0)
    found = compare(mask(SQUARE, spacing=spacing), mask(BESIDE, spacing=spacing))
    assert (found.predicted_ml, found.corrected_ml) == (8.0, 8.0)
    assert (found.added_ml, found.removed_ml) == (2.0, 2.0)
    assert found.dice == pytest.approx(0.75)
    assert not found.unchanged


def test_what_an_empty_prediction_does_not_define_is_none():
    found = compare(mask(), mask(SQUARE))
    assert (found.dice, found.surface_dice, found.added_path_mm) == (None, None, 12.0)
    assert compare(mask(), mask()).unchanged


def test_masks_of_two_grids_are_refused():
    with pytest.raises(ValueError, match="two grids"):
        compare(mask(), mask(shape=(3, 3, 3)))


@given(arrays(np.uint8, (3, 5, 5), elements=st.integers(0, 1)), arrays(np.uint8, (3, 5, 5), elements=st.integers(0, 1)))
def test_volumes_add_up_and_equal_masks_need_no_drawing(one: np.ndarray, other: np.ndarray):
    volumes = [Volume(array, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), IDENTITY, "mask") for array in (one, other)]
    found, same = compare(*volumes), compare(volumes[0], volumes[0])
    assert found.corrected_ml == pytest.approx(found.predicted_ml + found.added_ml - found.removed_ml)
    assert (same.added_path_mm, same.unchanged) == (0.0, True)
    assert same.dice in (None, 1.0)
