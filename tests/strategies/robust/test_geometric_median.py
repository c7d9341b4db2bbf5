"""The geometric median, on points whose median one knows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.robust.geometric_median import advised, fewest, weigh
from tests.support.updates_in_a_plane import combined, compared


def test_the_median_of_a_square_with_one_corner_far_away_is_where_the_diagonals_cross() -> None:
    """Four points, none within the triangle of the others: (0, 0), (1, 0), (0, 1) and (90, 90) meet in (1/2, 1/2)."""
    np.testing.assert_allclose(combined(weigh, [(0, 0), (1, 0), (0, 1), (90, 90)]), [0.5, 0.5], atol=1e-6)


def test_the_middle_one_of_three_numbers_and_no_more_than_half_of_it() -> None:
    """The median of 1, 2 and 50 is 2, held at half of the weight; of the rest the near one has 48 parts of 49."""
    weights = weigh(compared([(1,), (2,), (50,)])).weights
    assert weights[1] == pytest.approx(0.5)
    assert weights[0] == pytest.approx(0.5 * 48 / 49, rel=1e-3)


def test_equal_updates_have_their_shares() -> None:
    assert weigh(compared([(1, 2)] * 3, shares=(1, 1, 2))).weights.tolist() == [0.25, 0.25, 0.5]


def test_two_centers_of_equal_weight_meet_halfway() -> None:
    np.testing.assert_allclose(combined(weigh, [(0,), (4,)]), [2])


@given(st.floats(-1e9, 1e9), st.integers(0, 6))
def test_one_liar_of_seven_moves_it_by_no_more_than_the_honest_are_apart(far: float, place: int) -> None:
    """Bound (2 - 2/7) / (1 - 2/7) = 2.4 times the farthest honest distance from their center, 1 here."""
    angles = np.arange(7) * 2 * np.pi / 6
    updates = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    updates[place] = (far, -far)
    honest = np.delete(updates, place, axis=0)
    center = honest.mean(axis=0)
    farthest = np.linalg.norm(honest - center, axis=1).max()
    assert np.linalg.norm(combined(weigh, updates.tolist()) - center) <= 2.4 * farthest


def test_how_many_it_takes() -> None:
    assert [fewest(liars) for liars in (1, 2, 3)] == [3, 5, 7]
    assert [advised(liars) for liars in (1, 3, 4)] == [7, 7, 9]
