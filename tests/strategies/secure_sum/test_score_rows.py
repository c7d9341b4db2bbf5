"""Sums of rows are weighted means, whatever the figure is measured in."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import SecureSumError
from protocol.messages.scores import Comparison, Score
from protocol.messages.secure_sum import Harm
from strategies.secure_sum.fixed_point import from_words, to_words
from strategies.secure_sum.score_rows import (
    comparison_row,
    comparison_sum,
    figure_row,
    figure_sum,
    from_hex,
    numbers_in,
    score_total_finding,
    to_hex,
    weight_in,
    with_cases_registered,
)

WEIGHTS = {"a": 5, "b": 8, "c": 3}
PLAN: Any = SimpleNamespace(weights={"ct/dice": WEIGHTS, "comparison": WEIGHTS})
HARM = Harm(-0.01)


def sent(rows: Any) -> Any:
    """What the rows come to as words of 48 bits."""
    return sum(from_words(to_words(row)) for row in rows)


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_a_mean_is_the_plain_one_to_a_billionth(values: list[float]) -> None:
    weights = [weight_in(PLAN, "ct/dice", name) for name in WEIGHTS]
    rows = [
        figure_row("ct/dice", Score(cases, {"dice": value}), weight)
        for cases, value, weight in zip(WEIGHTS.values(), values, weights, strict=True)
    ]
    found = figure_sum("ct/dice", sent(rows))
    assert abs(found.value - np.average(values, weights=list(WEIGHTS.values()))) < 1e-9
    assert found.cases == 16


def test_millimetres_and_counts() -> None:
    """(10000 + 0.5 * 1) / 1.5 mm; 1e6 and 7 pairs are added up, whatever their centers weigh."""
    rows = [figure_row("ct/hd95_mm", Score(2, {"hd95_mm": mm}), weight) for mm, weight in ((1e4, 1.0), (1.0, 0.5))]
    assert figure_sum("ct/hd95_mm", sent(rows)).value == pytest.approx(10000.5 / 1.5, abs=1e-7)
    pairs = [figure_row("ct/pairs", Score(2, {"pairs": found}), weight) for found, weight in ((1e6, 1.0), (7.0, 0.5))]
    assert figure_sum("ct/pairs", sent(pairs)).value == 1_000_007


def test_what_is_not_there_is_zeros_and_too_large_a_count_stays_out() -> None:
    nothing = [0.0, 0.0, 0.0]
    assert figure_row("ct/dice", None, 1.0).tolist() == nothing
    assert figure_row("ct/dice", Score(3, {"dice": None}), 1.0).tolist() == nothing
    assert figure_row("ct/dice", Score(3, {"dice": 0.5}), 0.0).tolist() == nothing
    assert figure_row("ct/pairs", Score(3, {"pairs": 1e11}), 1.0).tolist() == nothing


def test_comparisons_give_mean_error_and_how_many_are_harmed() -> None:
    """Weights 0.5 and 1: D = (0.5 * 0.1 - 0.02) / 1.5, E = sqrt((0.5 * 0.004)^2 + 0.003^2) / 1.5."""
    both = ((Comparison(4, 0.1, 0.004), 0.5), (Comparison(6, -0.02, 0.003), 1.0))
    found = comparison_sum(sent(comparison_row(said, weight, HARM) for said, weight in both), 2)
    assert found.mean == pytest.approx(0.02, abs=1e-9)
    assert found.error == pytest.approx(math.hypot(0.002, 0.003) / 1.5, abs=1e-8)
    assert (found.cases, found.centers, found.harmed) == (10, 2, 1)


def test_noise_counts_where_the_plan_says_so() -> None:
    said = Comparison(4, -0.02, 0.02)
    assert comparison_row(said, 1.0, Harm(-0.01, 0.0))[4] == 1.0
    assert comparison_row(said, 1.0, Harm(-0.01, 1.0))[4] == 0.0


def test_totals_that_no_centers_can_have_sent_are_found() -> None:
    behind = {"a": 5, "b": 8}
    right = np.array([0.0, 5 / 8 + 1, 13 / 2**20])
    assert score_total_finding(PLAN, "ct/dice", right, behind) == ""
    assert "weights that add up to 2" in score_total_finding(PLAN, "ct/dice", np.array([0.0, 2.0, 13 / 2**20]), behind)
    assert "1 cases" in score_total_finding(PLAN, "ct/dice", np.array([0.0, 1.625, 1 / 2**20]), behind)
    more = with_cases_registered(np.array([0.0, 1.625, 14 / 2**20]), behind)
    assert more[2] * 2**20 == 13, "cases that came since count for nothing"
    with pytest.raises(SecureSumError, match="outside"):
        figure_sum("ct/dice", np.array([1.1 * 1024, 1.0, 0.0]))
    with pytest.raises(SecureSumError, match="2 comparisons"):
        comparison_sum(np.array([0.0, 2.0, 0.0, 0.0, 3.0]), 2)


def test_words_travel_as_text() -> None:
    words = to_words(np.array([-1.5, 0.0, 1024.0]))
    assert from_hex(to_hex(words)).tolist() == words.tolist()
    assert len(to_hex(words)) == 36
    assert (numbers_in("ct/dice"), numbers_in("comparison")) == (3, 5)
