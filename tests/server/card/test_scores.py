from pathlib import Path
from typing import Any

import pytest

from server.card.known_facts import read_facts
from server.card.scores import centers_with_their_own, scores_of
from tests.support.carded_study import carded_result, withheld_result, write_carded


@pytest.fixture
def rows(tmp_path: Path) -> dict[tuple[str, str, str], dict[str, Any]]:
    write_carded(tmp_path)
    facts = read_facts(tmp_path, "shared", None)
    return {(row["setting"], row["metric"], row["center"]): row for row in scores_of(facts.result, facts.entry)}


def test_a_figure_is_that_of_the_row_of_its_stage(rows: dict[tuple[str, str, str], dict[str, Any]]) -> None:
    row = rows["ct", "dice", "center-d"]
    assert (row["value"], row["cases"], row["state"], row["interval"]) == (0.559, 3, "of-this-version", None)


def test_what_was_not_scored_is_not_undefined_and_never_zero(rows: dict[tuple[str, str, str], dict[str, Any]]) -> None:
    row = rows["pet", "dice", "center-d"]
    assert (row["value"], row["state"]) == (None, "not-scored")


def states(root: Path, result: dict[str, Any], setting: str, center: str) -> dict[str, str]:
    """Metric -> state of the figures of a center."""
    write_carded(root, result)
    facts = read_facts(root, "shared", None)
    found = (
        row for row in scores_of(facts.result, facts.entry) if (row["setting"], row["center"]) == (setting, center)
    )
    return {row["metric"]: row["state"] for row in found}


def test_a_figure_without_a_value_over_cases_is_undefined(tmp_path: Path) -> None:
    result = carded_result()
    result["matrices"]["ct"]["dice"][2][0] = None
    assert states(tmp_path, result, "ct", "center-a") == {"dice": "undefined", "hd95_mm": "of-this-version"}


def test_what_a_center_holds_back_is_withheld_though_no_case_is_told(tmp_path: Path) -> None:
    held = states(tmp_path, withheld_result("ct"), "ct", "center-a")
    assert held == {"dice": "withheld", "hd95_mm": "withheld"}


def test_what_a_center_failed_at_is_no_case_that_is_not_there(tmp_path: Path) -> None:
    result = carded_result()
    result["matrices"]["ct"]["dice"][2][0], result["matrices"]["ct"]["hd95_mm"][2][0] = None, None
    result["matrices"]["ct"]["cases"][2][0] = 0
    stage = result["matrices"]["ct"]["stages"][2]
    result["evaluations"] = [{"stage": stage, "errors": {"center-a": "no-answer"}}]
    assert states(tmp_path, result, "ct", "center-a") == {"dice": "failed", "hd95_mm": "failed"}


def _gate(stage: str, *, promoted: bool, branches: list[str], differences: dict[str, float]) -> dict[str, Any]:
    return {"stage": stage, "promoted": promoted, "branches": branches, "kept": [], "differences": differences}


def test_a_branch_is_a_centers_own_until_a_candidate_that_it_finds_no_worse_is_promoted() -> None:
    first = _gate("one", promoted=False, branches=["a", "b"], differences={})
    second = _gate("two", promoted=True, branches=[], differences={"a": -0.005, "b": -0.2})
    result = carded_result(gates=[first, second])
    assert centers_with_their_own(result, "one") == {"a", "b"}
    assert centers_with_their_own(result, "two") == {"b"}


def test_a_refused_stage_leaves_a_center_with_its_branch(tmp_path: Path) -> None:
    gate = {**carded_result()["gates"][0], "branches": ["center-d"]}
    write_carded(tmp_path, carded_result(gates=[gate]))
    facts = read_facts(tmp_path, "shared", None)
    states = {row["center"]: row["state"] for row in scores_of(facts.result, facts.entry) if row["setting"] == "ct"}
    assert states["center-d"] == "of-what-the-center-keeps"
