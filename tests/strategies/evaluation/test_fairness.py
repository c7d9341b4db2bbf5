"""Who is served badly, on scores small enough to check by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.evaluation.fairness import (
    conditional_value_at_risk,
    gains,
    mean,
    no_harm_rate,
    share_below,
)

SCORES = st.lists(st.floats(0, 1), min_size=1, max_size=30)


def test_gain_over_local_training_by_center() -> None:
    final = {"mda": 0.7, "hgj": 0.5, "hmr": None, "new": 0.6}
    assert gains(final, {"mda": 0.6, "hgj": 0.55, "hmr": 0.4}) == {
        "mda": pytest.approx(0.1),
        "hgj": pytest.approx(-0.05),
        "hmr": None,
        "new": None,
    }


def test_the_mean_leaves_out_what_is_undefined() -> None:
    gained = {"a": 0.1, "b": -0.05, "c": None}
    assert mean(gained.values()) == pytest.approx(0.025)


def test_a_loss_of_a_hundredth_is_no_harm() -> None:
    """0.79 - 0.80 is a little below -0.01 in binary."""
    assert no_harm_rate({"a": 0.79 - 0.80, "b": -0.011, "c": 0.3, "d": None}) == pytest.approx(2 / 3)


def test_the_margin_of_harm_can_be_chosen() -> None:
    assert no_harm_rate({"a": -0.04, "b": -0.06}, margin=0.05) == 0.5


def test_the_worst_fifth_of_ten_patients_are_two() -> None:
    assert conditional_value_at_risk([0.9, 0.1, 0.8, 0.3, 0.7, 0.9, 0.9, 0.9, 0.9, 0.9]) == pytest.approx(0.2)


def test_the_worst_fifth_of_seven_patients_are_one_and_two_fifths() -> None:
    """(0.1 + 0.4 x 0.45) / 1.4 = 0.2."""
    assert conditional_value_at_risk([0.9, 0.45, 0.1, 0.8, 0.9, 0.9, 0.9]) == pytest.approx(0.2)


def test_of_fewer_than_five_patients_the_worst_is_the_fifth() -> None:
    assert conditional_value_at_risk([0.5, 0.4, None]) == pytest.approx(0.4)


def test_half_is_not_below_half() -> None:
    assert share_below([0.5, 0.49, None, 0.9]) == pytest.approx(1 / 3)


def test_without_a_score_nothing_is_invented() -> None:
    assert (mean([None]), no_harm_rate({"a": None}), share_below([]), conditional_value_at_risk([None])) == (None,) * 4


@pytest.mark.parametrize("share", [0, -0.1, 1.1])
def test_a_share_of_patients_is_above_zero_and_at_most_one(share: float) -> None:
    with pytest.raises(ValueError, match=r"expected a number in \(0, 1\]"):
        conditional_value_at_risk([0.5], share=share)


@given(SCORES, st.floats(0.01, 1))
def test_the_worst_patients_are_between_the_worst_one_and_the_mean(scores: "list[float]", share: float) -> None:
    found = conditional_value_at_risk(scores, share=share)
    assert found is not None
    assert min(scores) - 1e-12 <= found <= sum(scores) / len(scores) + 1e-12


@given(SCORES)
def test_of_all_patients_it_is_the_mean(scores: "list[float]") -> None:
    assert conditional_value_at_risk(scores, share=1) == pytest.approx(sum(scores) / len(scores), abs=1e-12)
