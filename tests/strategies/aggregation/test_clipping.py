"""How far one center may move beside the others of its round."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.aggregation.clipping import _median_without, shares_left

NORMS = st.dictionaries(st.sampled_from("abcdefg"), st.floats(0, 1e30), min_size=1, max_size=7)


def test_what_is_far_longer_than_the_others_is_cut_to_twice_their_median() -> None:
    """The others moved by 1, 2 and 3: a limit of 4."""
    assert shares_left({"a": 1, "b": 2, "c": 3, "liar": 40}, fewest=3) == {"liar": 0.1}


def test_centers_that_agree_to_send_next_to_nothing_cut_nobody_below_its_floor() -> None:
    sent = {"honest": 1.0, "liar": 1e-9, "other": 1e-9}
    assert shares_left(sent, fewest=3, floors={"honest": 1.5}) == {}
    assert shares_left(sent, fewest=3, floors={"honest": 0.5}) == {"honest": 0.5}


def test_where_there_are_too_few_nothing_is_cut() -> None:
    assert shares_left({"a": 1, "b": 100}, fewest=3) == {}
    assert shares_left({"a": 1, "b": 100}, fewest=2) == {"b": 0.02}


@given(NORMS)
def test_nothing_stays_longer_than_twice_the_median_of_the_others(norms: dict[str, float]) -> None:
    left = shares_left(norms, fewest=3)
    assert all(0 <= part < 1 for part in left.values())
    if len(norms) >= 3:
        after = {name: norm * left.get(name, 1.0) for name, norm in norms.items()}
        assert all(
            after[name] <= 2 * max(other for key, other in norms.items() if key != name) * (1 + 1e-9) for name in norms
        )


@pytest.mark.parametrize("values", [[3.0, 1.0], [2.0, 2.0, 9.0], [1.0, 5.0, 5.0, 7.0], [4.0, 1.0, 8.0, 2.0, 6.0]])
def test_the_median_of_the_others_is_that_of_the_numbers_left(values: list[float]) -> None:
    ordered = sorted(values)
    for place in range(len(ordered)):
        others = ordered[:place] + ordered[place + 1 :]
        assert _median_without(ordered, place) == np.median(others)
