"""Numbers survive becoming words, limbs and sums; what cannot be summed is refused before it is masked."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as drawn
from hypothesis.extra.numpy import arrays

from protocol.errors import SecureSumError
from strategies.secure_sum.fixed_point import (
    LARGEST,
    MAXIMUM_CENTERS,
    add,
    from_limbs,
    from_words,
    limb_finding,
    subtract,
    to_limbs,
    to_words,
)

NUMBERS = arrays(np.float64, 5, elements=drawn.floats(-LARGEST, LARGEST))


@given(NUMBERS)
def test_a_number_moves_by_at_most_half_a_step(values: np.ndarray) -> None:
    assert np.abs(from_words(to_words(values)) - values).max() <= 2.0**-31


@given(NUMBERS)
def test_limbs_hold_words_to_the_bit(values: np.ndarray) -> None:
    words = to_words(values)
    assert np.array_equal(from_limbs(to_limbs(words)), words)
    assert limb_finding(to_limbs(words)) == ""


@given(NUMBERS, NUMBERS)
def test_what_is_added_can_be_taken_away(first: np.ndarray, second: np.ndarray) -> None:
    assert np.array_equal(subtract(add(to_words(first), to_words(second)), to_words(second)), to_words(first))


def test_minus_one_and_a_half() -> None:
    """2^48 - 1.5 * 2^30."""
    assert to_words(np.array([-1.5])).tolist() == [2**48 - 3 * 2**29]


@pytest.mark.parametrize("sign", [-1, 1])
def test_as_many_of_the_largest_as_there_may_be_centers_do_not_wrap(sign: int) -> None:
    total = to_words(np.zeros(1))
    for _ in range(MAXIMUM_CENTERS):
        total = add(total, to_words(np.array([sign * LARGEST])))
    assert from_words(total)[0] == sign * MAXIMUM_CENTERS * LARGEST


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2047.1])
def test_what_is_not_a_number_of_that_size_is_refused(value: float) -> None:
    with pytest.raises(SecureSumError, match=r"1 of 2 number\(s\)"):
        to_words(np.array([1.0, value]))


@pytest.mark.parametrize("value", [-1.0, 0.5, 2.0**24, np.nan])
def test_what_is_no_limb_is_told(value: float) -> None:
    assert "1 value(s) of 2" in limb_finding(np.array([1.0, value], dtype=np.float32))
