"""What one center may weigh."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import StudyError
from strategies.peers import FEWEST_PEERS
from strategies.shares import believed_cases, capped_shares, capped_weights

CASES = st.dictionaries(st.sampled_from("abcdefg"), st.integers(1, 10**9), min_size=2, max_size=7)


def shares(weights: dict[str, float]) -> dict[str, float]:
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def test_a_claim_of_a_billion_cases_weighs_as_much_as_all_others_together() -> None:
    found = capped_weights({"a": 4, "b": 9, "liar": 10**9}, exponent=0.5, maximum_share=0.5)
    assert found == pytest.approx({"a": 2.0, "b": 3.0, "liar": 5.0})


@pytest.mark.parametrize(("exponent", "together"), [(0.5, 4 / 102), (1, 400 / 5300)])
def test_two_of_a_hundred_that_claim_a_million_cases_weigh_as_four_others_each(
    exponent: float, together: float
) -> None:
    """Their 1,000,000 count as 4 times the 50 of the others."""
    cases = {**{f"h{i:02d}": 50 for i in range(98)}, "x": 10**6, "y": 10**6}
    found = shares(capped_weights(cases, exponent=exponent, maximum_share=0.5))
    assert found["x"] + found["y"] == pytest.approx(together)


def test_a_count_that_the_study_file_names_is_no_claim() -> None:
    cases = {"a": 10, "b": 10, "c": 1000}
    assert believed_cases(cases) == {"a": 10, "b": 10, "c": 40}
    assert believed_cases(cases, {"c"}) == cases
    assert capped_weights(cases, exponent=1, maximum_share=1, limits={"c": 90}, agreed={"c": 90})["c"] == 90


def test_of_two_peers_the_larger_says_what_is_usual_and_of_one_nothing_is_known() -> None:
    assert believed_cases({"a": 10, "c": 1000}) == {"a": 10, "c": 1000}
    assert believed_cases({"a": 1, "b": 10, "c": 41, "none": 0}) == {"a": 1, "b": 10, "c": 40}


def test_hospitals_of_usual_sizes_keep_their_counts() -> None:
    for cases in ({"hgj": 65, "chus": 69, "hmr": 33, "chum": 51}, {"a": 12, "b": 6, "c": 9, "d": 10}):
        assert believed_cases(cases) == cases


def test_shares_are_of_cases_below_the_cap() -> None:
    assert capped_shares({"a": 5, "b": 3, "c": 2}) == {"a": 0.5, "b": 0.3, "c": 0.2}
    assert capped_shares({"a": 8, "b": 1, "c": 1}) == {"a": 0.5, "b": 0.25, "c": 0.25}
    assert capped_shares({0: 10**6, 1: 1}) == {0: 0.5, 1: 0.5}
    assert capped_shares({"a": 7}) == {"a": 1.0}


def test_of_two_centers_the_claim_of_one_counts_no_more_than_the_other() -> None:
    assert shares(capped_weights({"a": 4, "liar": 10**9}, exponent=1, maximum_share=0.5)) == {"a": 0.5, "liar": 0.5}


def test_what_was_agreed_is_the_most_that_counts() -> None:
    found = capped_weights({"a": 4, "b": 9, "c": 100}, exponent=1, maximum_share=0.5, limits={"c": 5, "a": 8})
    assert found == {"a": 4.0, "b": 9.0, "c": 5.0}


def test_numbers_of_the_study_file_may_raise_a_share_above_the_maximum() -> None:
    """Agreed are 90 and 10 cases: nine tenths are no claim."""
    cases, agreed = {"a": 90, "b": 10}, {"a": 90, "b": 10}
    assert capped_weights(cases, exponent=1, maximum_share=0.5, limits=agreed, agreed=agreed) == {"a": 90, "b": 10}
    assert capped_weights(cases, exponent=1, maximum_share=0.5, agreed={"a": 90}) == {"a": 10, "b": 10}


def test_weights_below_the_maximum_keep_their_bits() -> None:
    assert capped_weights({"a": 5, "b": 5}, exponent=0.5, maximum_share=0.5) == {"a": 5**0.5, "b": 5**0.5}


def test_one_center_alone_has_the_whole_mean_and_one_without_cases_none() -> None:
    assert capped_weights({"a": 9, "b": 0}, exponent=0.5, maximum_share=0.5) == {"a": 3.0}


def test_a_maximum_that_leaves_too_little_for_all_makes_them_equal() -> None:
    assert capped_weights({"a": 1, "b": 9}, exponent=1, maximum_share=0.4) == {"a": 1.0, "b": 1.0}


def test_a_maximum_of_nothing_is_refused() -> None:
    with pytest.raises(StudyError, match="maximum_share is 0"):
        capped_weights({"a": 1}, exponent=1, maximum_share=0)


@given(CASES, st.floats(0.05, 1), st.sampled_from([0.0, 0.5, 1.0]))
def test_no_share_exceeds_the_maximum_or_an_equal_part(cases: dict[str, int], maximum: float, exponent: float) -> None:
    found = shares(capped_weights(cases, exponent=exponent, maximum_share=maximum))
    assert found.keys() == cases.keys()
    assert max(found.values()) <= max(maximum, 1 / len(cases)) * (1 + 1e-9)


@given(CASES, st.floats(0.5, 1))
def test_more_cases_never_weigh_less(cases: dict[str, int], maximum: float) -> None:
    found = capped_weights(cases, exponent=0.5, maximum_share=maximum)
    by_cases = [found[name] for name in sorted(cases, key=lambda name: cases[name])]
    assert all(low <= high * (1 + 1e-9) for low, high in pairwise(by_cases))


@given(st.lists(st.integers(0, 200), min_size=1, max_size=12))
def test_what_is_believed_is_four_times_the_upper_median_of_the_others(counts: list[int]) -> None:
    """As it is said of each center by itself; the counts are put in order once for all."""
    cases = {f"c{number:02d}": count for number, count in enumerate(counts)}
    found = {name: count for name, count in cases.items() if count}
    for name, believed in believed_cases(cases).items():
        others = sorted(count for other, count in found.items() if other != name)
        limit = 4 * others[len(others) // 2] if len(found) > FEWEST_PEERS else found[name]
        assert believed == min(found[name], limit)
