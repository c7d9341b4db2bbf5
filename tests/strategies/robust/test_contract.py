"""What rules are told about a round."""

import numpy as np

from strategies.robust.contract import as_they_are
from tests.support.updates_in_a_plane import compared


def test_distances_follow_from_inner_products() -> None:
    """(3, 4) and (0, 0) and (3, 0): 25, 16 and 9."""
    found = compared([(3, 4), (0, 0), (3, 0)])
    assert found.squared_distances.tolist() == [[0, 25, 16], [25, 0, 9], [16, 9, 0]]
    assert found.norms.tolist() == [5, 0, 3]


def test_weights_sum_to_one_and_lengths_stay() -> None:
    found = as_they_are(np.array([1.0, 3.0]))
    assert found.weights.tolist() == [0.25, 0.75]
    assert found.lengths.tolist() == [1, 1]
