"""Dice and HD95 on masks small enough to measure by hand; what is undefined is None and counted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from client.tasks.overlap import dice, hd95_mm

SPACING_ZYX_MM = (5.0, 2.0, 1.0)
EMPTY = np.zeros((6, 6, 6), np.uint8)


def voxels(*indices_zyx: tuple[int, int, int]) -> NDArray[np.uint8]:
    mask = EMPTY.copy()
    for index in indices_zyx:
        mask[index] = 1
    return mask


def test_two_voxels_against_three_with_one_in_common_is_two_fifths() -> None:
    predicted, truth = voxels((1, 1, 1), (1, 1, 2)), voxels((1, 1, 2), (1, 1, 3), (1, 1, 4))
    assert dice(predicted, truth) == 2 * 1 / (2 + 3)


@pytest.mark.parametrize(("predicted", "truth"), [(voxels((1, 1, 1)), EMPTY), (EMPTY, voxels((1, 1, 1)))])
def test_one_empty_mask_is_zero_overlap_and_no_distance(predicted: NDArray[np.uint8], truth: NDArray[np.uint8]) -> None:
    assert dice(predicted, truth) == 0
    assert hd95_mm(predicted, truth, SPACING_ZYX_MM) is None


def test_two_empty_masks_define_nothing() -> None:
    assert dice(EMPTY, EMPTY) is None
    assert hd95_mm(EMPTY, EMPTY, SPACING_ZYX_MM) is None


@pytest.mark.parametrize(
    ("moved_zyx", "mm"), [((1, 0, 0), 5.0), ((0, 1, 0), 2.0), ((0, 0, 1), 1.0), ((2, 0, 0), 10.0), ((0, 3, 0), 6.0)]
)
def test_a_voxel_moved_along_an_axis_is_as_far_as_that_axis_is_spaced(
    moved_zyx: tuple[int, int, int], mm: float
) -> None:
    z, y, x = moved_zyx
    assert hd95_mm(voxels((1, 1, 1)), voxels((1 + z, 1 + y, 1 + x)), SPACING_ZYX_MM) == pytest.approx(mm)


def test_a_voxel_moved_along_two_axes_follows_pythagoras() -> None:
    """1 voxel of 5 mm and 6 of 2 mm: 5, 12, 13."""
    truth = np.zeros((8, 8, 8), np.uint8)
    predicted = truth.copy()
    truth[1, 0, 0], predicted[2, 6, 0] = 1, 1
    assert hd95_mm(predicted, truth, SPACING_ZYX_MM) == pytest.approx(13.0)


def test_the_farther_direction_counts() -> None:
    """Every voxel of the prediction is in the truth, yet the truth reaches 3 voxels of 1 mm further."""
    assert hd95_mm(voxels((1, 1, 1)), voxels((1, 1, 1), (1, 1, 4)), SPACING_ZYX_MM) == pytest.approx(3.0, rel=0.06)


masks = st.lists(st.tuples(*[st.integers(0, 5)] * 3), min_size=1, max_size=6).map(lambda found: voxels(*found))


@given(masks, masks)
def test_both_metrics_are_symmetric_and_perfect_on_oneself(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> None:
    assert dice(a, b) == dice(b, a)
    assert hd95_mm(a, b, SPACING_ZYX_MM) == hd95_mm(b, a, SPACING_ZYX_MM)
    assert (dice(a, a), hd95_mm(a, a, SPACING_ZYX_MM)) == (1, 0)
