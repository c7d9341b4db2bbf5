"""Numbers as people read them."""

import pytest

from reporting.formats import (
    difference,
    difference_interval,
    duration,
    figure,
    figure_interval,
    heading,
    in_reading_order,
    label,
    number,
    probability,
    share,
    size,
    words,
)

INTERVAL = {"value": 0.5, "low": 0.25, "high": 0.75}


def test_differences_and_shares() -> None:
    assert [difference(0.5), difference(-0.25), share(0.876)] == ["+0.500", "-0.250", "88%"]
    assert number(12.345, ".1f") == "12.3"


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (-0.0001, ".3f", "0.000"),
        (-0.0, ".1f", "0.0"),
        (-0.0001, "+.3f", "+0.000"),
        (-0.001, ".0%", "0%"),
        (-0.0006, ".3f", "-0.001"),
        (3, ".0f", "3"),
    ],
)
def test_a_zero_has_no_minus(value: float, form: str, text: str) -> None:
    assert number(value, form) == text


def test_what_is_undefined_says_so_in_every_format() -> None:
    formats = (difference, share, probability, size, duration)
    assert {form(None) for form in formats} == {"undefined"}
    assert {form(None, 3) for form in (figure, difference, figure_interval, difference_interval)} == {"undefined"}
    assert figure_interval({"value": None, "low": None, "high": None}, 3) == "undefined"


def test_intervals_show_a_sign_where_they_are_of_differences() -> None:
    assert figure_interval(INTERVAL, 3) == "0.500 [0.250, 0.750]"
    assert difference_interval(INTERVAL, 2) == "+0.50 [+0.25, +0.75]"


def test_small_probabilities_are_bounded() -> None:
    assert [probability(p) for p in (0.0001, 0.0625)] == ["< 0.001", "0.062"]


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2.5e6, "2.5 MB"), (3e9, "3.0 GB")]
)
def test_bytes_come_in_decimal_units(count: float, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.25, "4.2 s"), (59.9, "1 min 0 s"), (125, "2 min 5 s"), (7260, "2 h 1 min")]
)
def test_durations_show_the_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_figure_has_the_digits_and_the_unit_of_its_metric() -> None:
    assert [figure(0.71249, 3), figure(4.04, 1, "mm"), figure(12.0, 0)] == ["0.712", "4.0 mm", "12"]
    assert [figure(None, 3), figure(None, 1, "mm")] == ["undefined"] * 2
    assert heading([("Dice", ""), ("HD95", "mm")]) == "Dice / HD95 in mm"


def test_modality_settings_are_read_from_the_most_complete_one_on() -> None:
    settings = ["ct", "pet", "ct", "ehr", "ct+pet", "ct+ehr", "ct+pet+ehr"]
    assert in_reading_order(settings) == ["ct+pet+ehr", "ct+pet", "ct+ehr", "ct", "pet", "ehr"]
    assert [label("ct+pet"), label("ehr")] == ["CT+PET", "EHR"]


def test_settings_of_a_study_are_words() -> None:
    assert words({"rank": 8, "patch": [96, 96], "rate": 1e-3}) == "rank 8, patch [96, 96], rate 0.001"
