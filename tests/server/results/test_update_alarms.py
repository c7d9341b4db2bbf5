"""What of the centers' updates the report asks a person to look at: who, when, what, and what to do."""

from typing import Any

import pytest

from server.results.report import report_html
from server.results.update_alarms import KINDS, spans, update_alarms
from server.rounds import alarms, clipping
from tests.support.example_result import example_result, visible_text


def row(server_round: int, center: str, *kinds: str, **changes: Any) -> dict[str, Any]:
    return {"stage": "adapt", "server_round": server_round, "center": center, "alarms": list(kinds), **changes}


def study(*rounds: dict[str, Any], **figures: float) -> dict[str, Any]:
    named = {name.replace("_", "/"): value for name, value in figures.items()}
    return {"rounds": rounds, "aggregations": [{"stage": "adapt", "server_round": 2, "figures": named}]}


def told(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(alarm.center, alarm.rounds, alarm.what) for alarm in update_alarms(found)]


def test_a_kind_of_alarm_of_a_center_is_one_row_with_its_rounds() -> None:
    rounds = (row(1, "b", "unmoved"), row(2, "a"), row(2, "b", "unmoved", "copied"), row(4, "b", "unmoved"))
    assert told(study(*rounds)) == [("b", "1-2, 4", KINDS["unmoved"][0]), ("b", "2", KINDS["copied"][0])]


def test_what_was_cut_is_told_and_what_was_not_is_not() -> None:
    assert told(study(row(3, "a", clipped={"peft": 0.5}), row(3, "b", clipped={}))) == [("a", "3", KINDS["cut"][0])]


def test_who_has_no_weight_under_a_robust_rule_is_told_and_who_has_little_is_not() -> None:
    """In one of two groups the rule left b out; other figures of an aggregation are no shares."""
    figures = {"share_peft_a": 0.99, "share_peft_b": 0.0, "share_pet_b": 0.5, "share_pet_a": 0.01, "dropped": 0.0}
    assert told(study(**figures)) == [("b", "2", KINDS["left-out"][0])]


def test_every_alarm_that_a_round_can_raise_has_its_words() -> None:
    """The words of `server.rounds.alarms`, and that of `server.rounds.clipping`."""
    assert alarms.__doc__ is not None
    named = {line.split()[0] for line in alarms.__doc__.splitlines() if line.startswith("    ") and line[4] != " "}
    assert named == {"unusual", "unmoved", "replayed", "copied", "fewer-cases"}
    assert {*named, clipping.LONG} <= KINDS.keys()


def test_a_kind_that_this_version_does_not_know_stands_by_its_name() -> None:
    assert told(study(row(1, "a", "odd"))) == [("a", "1", "odd")]


@pytest.mark.parametrize(("numbers", "text"), [((), ""), ((3,), "3"), ((2, 1, 3, 7), "1-3, 7"), ((1, 3), "1, 3")])
def test_rounds_that_follow_each_other_are_a_span(numbers: tuple[int, ...], text: str) -> None:
    assert spans(numbers) == text


def test_the_report_has_the_section_only_where_there_was_one() -> None:
    quiet = example_result()
    assert "Updates to look at" not in report_html(quiet)
    quiet["rounds"][0]["alarms"] = ["replayed"]
    first, page = quiet["rounds"][0], visible_text(report_html(quiet))
    assert f"{first['center']} {first['stage']} {first['server_round']} holds the very tensors of an earlier" in page
    assert KINDS["replayed"][1].replace("'", "&#39;") in page
