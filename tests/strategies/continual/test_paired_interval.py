"""Intervals of a difference, small enough to check by hand."""

import math

import pytest

from protocol.messages.scores import Comparison
from strategies.continual.paired_interval import entry_of, interval_of, margin_of


def test_two_cases_have_the_interval_of_one_degree_of_freedom() -> None:
    """Differences 0.1 and 0.3: mean 0.2, s = 0.1 / sqrt(2); t at 97.5 % is tan(0.475 pi) = 12.706."""
    found = interval_of(Comparison(2, 0.2, 0.1 / math.sqrt(2)))
    half = math.tan(0.475 * math.pi) * 0.1
    assert [found.value, found.low, found.high] == pytest.approx([0.2, 0.2 - half, 0.2 + half])


def test_the_margin_is_to_one_side() -> None:
    assert margin_of(Comparison(2, -0.2, 0.02), 0.9) == pytest.approx(math.tan(0.4 * math.pi) * math.sqrt(2) * 0.02)


@pytest.mark.parametrize("said", [Comparison(1, 0.2, 0.0), Comparison(4, 0.2, None)])
def test_cases_that_say_nothing_of_their_noise_have_a_difference_and_no_interval(said: Comparison) -> None:
    assert entry_of(said, 4) == {
        "state": "known",
        "cases": said.cases,
        "difference": 0.2,
        "standard_error": said.standard_error,
        "low": None,
        "high": None,
    }


def test_withheld_is_not_undefined() -> None:
    assert entry_of(None, 2)["state"] == "withheld"
    undefined = entry_of(Comparison(0, None), 7)
    assert (undefined["state"], undefined["cases"], undefined["difference"]) == ("undefined", 7, None)
