"""The trimmed mean, entry by entry."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import PayloadError
from strategies.robust.trimmed_mean import TrimmedMean, fewest, weigh
from tests.support.updates_in_a_plane import compared


def mean_of(values: list[list[float]], weights: list[float], liars: int = 1) -> list[float]:
    average = TrimmedMean(liars)
    for value, weight in zip(values, weights, strict=True):
        average.add("w", np.array(value, dtype=np.float32), weight)
    return list(average.means()["w"].tolist())


def test_the_largest_and_the_smallest_of_each_entry_are_left_out() -> None:
    """1, 2, 900 -> 2; -700, 5, 6 -> 5: two liars of which each wins one entry and decides none."""
    assert mean_of([[1, 5], [2, -700], [900, 6]], [1, 1, 1]) == [2, 5]


def test_what_is_left_is_weighed() -> None:
    """Of 0, 1, 5, 9 the middle two, with weights 3 and 1."""
    assert mean_of([[9], [1], [5], [0]], [7, 3, 1, 7]) == [2]


@given(st.lists(st.floats(-5, 5, width=32), min_size=5, max_size=5), st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_two_liars_of_seven_stay_between_honest_values(honest: list[float], first: float, second: float) -> None:
    (found,) = mean_of([[value] for value in (*honest, first, second)], [1] * 7, liars=2)
    assert min(honest) - 1e-6 <= found <= max(honest) + 1e-6


def test_equal_values_stay_to_the_bit() -> None:
    value = float(np.float32(0.1))
    assert np.float32(mean_of([[value]] * 5, [0.2, 0.3, 0.1, 0.25, 0.15])[0]) == np.float32(0.1)


def test_weight_zero_counts_nothing() -> None:
    assert mean_of([[1], [2], [3], [700]], [1, 1, 1, 0]) == [2]


def test_too_few_and_other_shapes_are_refused() -> None:
    average = TrimmedMean(1)
    average.add("w", np.zeros(2), 1)
    with pytest.raises(PayloadError, match=r"tensor 'w' arrived in shape \(3,\), expected \(2,\)"):
        average.add("w", np.zeros(3), 1)
    with pytest.raises(PayloadError, match=r"came from 1 center\(s\), expected at least 3"):
        average.means()


def test_shares_stay_and_something_must_be_left() -> None:
    assert weigh(compared([(1,), (2,), (3,)])).weights.tolist() == [1 / 3] * 3
    assert [fewest(liars) for liars in (1, 2)] == [3, 5]
