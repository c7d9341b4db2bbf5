"""Four cases whose risk and coverage one can count, and the threshold of a few."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.scores.abstention import (
    COVERAGE,
    JudgedCase,
    choose_threshold,
    is_kept,
    part_cases,
    rank_errors,
    risk_coverage,
)

FOUR = [JudgedCase(0.4, 0.2), JudgedCase(0.1, 0.9), JudgedCase(0.3, 0.6), JudgedCase(0.2, 0.7)]
"""By uncertainty: Dice 0.9, 0.7, 0.6, 0.2."""


def test_risk_is_the_mean_error_of_the_surest_cases_at_each_coverage() -> None:
    """0.1; (0.1 + 0.3) / 2; (0.1 + 0.3 + 0.4) / 3; (0.1 + 0.3 + 0.4 + 0.8) / 4."""
    found = risk_coverage(FOUR)
    assert [coverage for coverage, _ in found] == [0.25, 0.5, 0.75, 1.0]
    assert [risk for _, risk in found] == pytest.approx([0.1, 0.2, 0.8 / 3, 0.4])


def test_a_case_without_a_predicted_lesion_is_kept_last_and_one_without_dice_is_left_out() -> None:
    found = risk_coverage([JudgedCase(None, 0.0), JudgedCase(0.5, 0.8), JudgedCase(None, None)])
    assert [coverage for coverage, _ in found] == [0.5, 1.0]
    assert [risk for _, risk in found] == pytest.approx([0.2, 0.6])


def test_a_threshold_parts_cases_and_their_dice() -> None:
    kept, reviewed = part_cases([*FOUR, JudgedCase(None, None)], 0.2)
    assert (kept.cases, reviewed.cases) == (2, 3)
    assert kept.dice == pytest.approx(0.8)
    assert reviewed.dice == pytest.approx(0.4)
    assert part_cases([JudgedCase(None, None)], 0.2)[0].dice is None


def test_the_threshold_is_the_k_th_smallest_of_n_plus_one() -> None:
    """Of four ceil(0.8 * 5) = 4: the largest. Of nine ceil(0.8 * 10) = 8. Three are too few."""
    assert choose_threshold([0.1, 0.4, 0.2, 0.3]).value == 0.4
    assert choose_threshold([u / 10 for u in range(9)]).value == 0.7
    few = choose_threshold([0.1, 0.2, 0.3])
    assert (few.value, few.reason) == (None, "3 validation case(s); a threshold that keeps 80% needs 4")


def test_validation_cases_without_a_predicted_lesion_are_above_any_threshold() -> None:
    """One of nine without: the eighth is still a number. Of four it would be the fourth."""
    assert choose_threshold([*[u / 10 for u in range(8)], None]).value == 0.7
    found = choose_threshold([0.1, 0.2, 0.3, None])
    assert (found.value, found.reason) == (None, "in 1 of 4 validation cases no lesion was predicted")


def test_the_threshold_itself_is_kept_and_what_has_no_uncertainty_never() -> None:
    assert [is_kept(u, 0.4) for u in (0.4, math.nextafter(0.4, 1), None)] == [True, False, False]


@given(st.lists(st.integers(0, 10_000), min_size=5, max_size=40, unique=True))
def test_of_n_plus_one_values_each_left_out_in_turn_the_stated_share_is_kept(values: list[int]) -> None:
    kept = [
        is_kept(value, threshold)
        for place, value in enumerate(values)
        if (threshold := choose_threshold(values[:place] + values[place + 1 :]).value) is not None
    ]
    assert sum(kept) / len(kept) >= COVERAGE


def test_ranks_of_uncertainty_and_error() -> None:
    """Five cases in the same order: 1. Swapping the two surest: 1 - 6 * 2 / (5 * 24) = 0.9. Four are too few."""
    same = [JudgedCase(u / 10, 1 - u / 10) for u in range(5)]
    assert rank_errors(same).value == pytest.approx(1)
    swapped = [JudgedCase(0.0, 0.9), JudgedCase(0.1, 1.0), *same[2:]]
    assert rank_errors(swapped).value == pytest.approx(0.9)
    assert rank_errors(FOUR).reason == "4 test case(s) with both; ranking needs 5"
    assert rank_errors([JudgedCase(0.1, 0.5)] * 5).reason == "all test cases are alike in one of the two"
