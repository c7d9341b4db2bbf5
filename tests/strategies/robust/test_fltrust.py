"""FLTrust, on arrows."""

import numpy as np
import pytest

from strategies.robust.fltrust import fewest, weigh
from tests.support.updates_in_a_plane import combined, compared


def test_trust_is_the_cosine_with_the_reference_and_lengths_are_its_own() -> None:
    """Reference (0, 2): (0, 4) is trusted by 1 and halved, (3, 3) by 1 / sqrt 2, (0, -9) not at all."""
    found = weigh(compared([(0, 2), (0, 4), (3, 3), (0, -9)], reference=0))
    root = 2**-0.5
    np.testing.assert_allclose(found.weights, np.array([1, 1, root, 0]) / (2 + root))
    np.testing.assert_allclose(found.lengths, [1, 0.5, 2 / 18**0.5, 2 / 9])


def test_a_round_of_liars_is_the_references() -> None:
    np.testing.assert_allclose(combined(weigh, [(-5, -5), (1, 1), (-9, 0)], reference=1), [1, 1])


def test_a_liar_beside_the_reference_moves_it_where_it_points() -> None:
    """What it cannot stop: 60 degrees off has trust 1/2, whatever made it."""
    liar = (0.5, 0.75**0.5)
    np.testing.assert_allclose(combined(weigh, [(1, 0), liar], reference=0), [(1 + 0.25) / 1.5, 0.5 * liar[1] / 1.5])


@pytest.mark.parametrize("updates", [[(0, 0), (1, 0)], [(1, 0), (0, 0)]], ids=["reference", "other"])
def test_what_does_not_move_is_not_trusted(updates: list[tuple[float, float]]) -> None:
    found = weigh(compared(updates, reference=0))
    assert found.weights.tolist() == [1, 0]
    assert np.isfinite(found.lengths).all()


def test_how_many_it_takes() -> None:
    assert fewest(5) == 2
