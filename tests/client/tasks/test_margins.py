"""Voxels counted by how sure a mask is: where they are looked at, and the entropy of their counts."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.tasks.margins import BINS, MIDDLES, count_margins, count_near, dilate, entropy, mean_entropy

MILLIMETRES = (10.0, 10.0, 10.0)


def row(*values: float) -> np.ndarray:
    return np.array(values, np.float32).reshape(1, 1, -1)


def test_voxels_near_prediction_or_contour_count_by_their_side_of_the_contour() -> None:
    """Voxels of 10 mm: one to either side. Prediction at 1 reaches 0 to 2, the contour at 5 reaches 4 to 6 of 8."""
    margin, predicted, truth = row(*range(8)), row(0, 1, 0, 0, 0, 0, 0, 0) > 0, row(0, 0, 0, 0, 0, 1, 0, 0) > 0
    found = count_margins(margin, predicted, truth, MILLIMETRES)
    assert [int(counts.sum()) for counts in (found.outside, found.inside, found.near)] == [5, 1, 3]
    seen = MIDDLES[found.inside > 0]
    assert seen == pytest.approx([5.05])
    np.testing.assert_array_equal(found.near, count_near(margin, predicted, MILLIMETRES))


def test_margins_beyond_the_range_count_in_its_outer_steps_and_no_number_in_its_middle() -> None:
    everywhere = np.ones((1, 1, 4), dtype=bool)
    counts = count_near(row(-1000, 1000, np.nan, np.inf), everywhere, MILLIMETRES)
    assert (counts[0], counts[-1], counts[BINS // 2]) == (1, 2, 1)


@given(st.lists(st.floats(-19, 19, width=32), min_size=1, max_size=30))
def test_every_voxel_counts_in_the_step_that_holds_it(margins: list[float]) -> None:
    counts = count_near(row(*margins), np.ones((1, 1, len(margins)), dtype=bool), MILLIMETRES)
    np.testing.assert_allclose(np.repeat(MIDDLES, counts), np.sort(margins), atol=0.051)


def test_the_reach_is_ten_millimetres_along_each_axis_and_ends_at_the_border() -> None:
    """Spacing 4, 5 and 20 mm: 2, 2 and 0 voxels either side."""
    mask = np.zeros((7, 4, 3), dtype=bool)
    mask[3, 0, 1] = True
    near = dilate(mask, (4, 5, 20))
    assert [sorted(set(axis.tolist())) for axis in np.nonzero(near)] == [[1, 2, 3, 4, 5], [0, 1, 2], [1]]


def test_the_entropy_of_an_undecided_map_is_the_log_of_two_and_of_none_undefined() -> None:
    everywhere = np.ones((2, 2, 2), dtype=bool)
    undecided = count_near(np.zeros((2, 2, 2), np.float32), everywhere, MILLIMETRES)
    assert mean_entropy(undecided, 1.0) == pytest.approx(math.log(2), abs=1e-3)
    assert mean_entropy(np.zeros_like(undecided), 1.0) is None
    assert entropy(np.array([0.0, 0.5, 1.0])).tolist() == pytest.approx([0, math.log(2), 0])


def test_a_temperature_divides_the_margin() -> None:
    """A margin of 4 at T = 2 is as unsure as one of 2: p = 0.881, H = 0.365."""
    four, two = (count_near(row(m), np.ones((1, 1, 1), dtype=bool), MILLIMETRES) for m in (4.0, 2.0))
    assert mean_entropy(four, 2.0) == pytest.approx(0.365, abs=0.005)
    assert mean_entropy(four, 2.0) == pytest.approx(mean_entropy(two, 1.0), abs=0.01)
