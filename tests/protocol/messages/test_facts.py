"""What a center may say of itself, and what of it is believed."""

from typing import Any

import pytest

from protocol.messages.facts import FACTS, MAXIMUM_CASES, case_finding, fact_findings, is_case_count

COUNTS = {"train_cases": 12, "validation_cases": 0, "test_cases": MAXIMUM_CASES}


def test_every_fact_of_the_table_may_be_said() -> None:
    said = {name: 3 if kind is int else "cuda:0" for name, kind in FACTS.items()}
    assert list(fact_findings(said)) == []


@pytest.mark.parametrize(
    "facts",
    [
        {"patients": 3},
        {"cases": True},
        {"cases": 3.0},
        {"cases": "3"},
        {"cases": -1},
        {"cases": MAXIMUM_CASES + 1},
        {"device": 3},
        {"device": "DOE^JOHN"},
        {"device": "\x1b[31m"},
        {"device": "a\n"},
        {"version": "1" * 41},
        {"[/x]\n": 3},
    ],
)
def test_a_fact_that_cannot_be_is_one_finding_on_one_line_without_its_value(facts: dict[str, Any]) -> None:
    (finding,) = fact_findings(facts)
    assert "is not in the table or out of bounds" in finding
    assert finding.isprintable()
    assert "DOE" not in finding


def test_a_million_facts_are_one_finding() -> None:
    assert list(fact_findings({f"f{number}": 1 for number in range(10**6)})) == ["has 1000000 facts, the table has 10"]


@pytest.mark.parametrize(
    ("value", "counts"), [(0, True), (10**6, True), (10**6 + 1, False), (-1, False), (True, False)]
)
def test_a_count_of_cases_is_an_integer_up_to_a_million(value: object, *, counts: bool) -> None:
    assert is_case_count(value) is counts


def test_a_registration_says_the_cases_of_each_part() -> None:
    assert case_finding(COUNTS) == ""
    assert case_finding({**COUNTS, "train_cases": "five"}) == "says no number of train cases, expected 0 to 1000000"
    assert case_finding({}) == "says no number of train, validation, test cases, expected 0 to 1000000"
