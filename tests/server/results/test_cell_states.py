"""One word for one thing in every cell, and what a mean does not say by itself."""

from typing import Any

from server.results.cell_states import MeanOfRow, cell_state, failures_of, mean_of_last_row, why_without

MATRIX: dict[str, Any] = {
    "stages": ["initial", "adapt"],
    "centers": ["a", "b", "c", "d", "e"],
    "dice": [[None] * 5, [0.5, None, None, None, None]],
    "suppressed": {"dice": [[False] * 5, [False, True, False, False, False]]},
    "cases": [[0] * 5, [1, 0, 0, 2, 0]],
    "undefined": {"dice": [[0] * 5, [0, 0, 0, 2, 0]]},
}
FAILURES = failures_of({"evaluations": [{"stage": "adapt", "errors": {"c": "no-answer"}}]})


def with_cases(*values: "tuple[float | None, int]") -> dict[str, Any]:
    """A last row of centers with a value over cases, nothing withheld."""
    scores, cases = zip(*values, strict=True)
    names = list("abcde"[: len(values)])
    return {"stages": ["adapt"], "centers": names, "dice": [list(scores)], "cases": [list(cases)], "undefined": {}}


def test_five_cells_are_five_things() -> None:
    """Of five centers: a number, held back, no answer, nothing that defines it, no case."""
    found = [cell_state(MATRIX, FAILURES, "dice", 1, column) for column in range(5)]
    assert found == ["known", "withheld", "failed", "undefined", "absent"]
    whys = [why_without(MATRIX, FAILURES, "dice", 1, column) for column in range(5)]
    assert whys == ["", "held back by the center", "the center answered 'no-answer'", "", "no case to score"]


def test_a_failure_of_one_stage_is_none_of_another() -> None:
    assert cell_state(MATRIX, FAILURES, "dice", 0, 2) == "absent"


def test_a_result_of_an_earlier_version_names_no_failure() -> None:
    assert failures_of({}) == {}


def test_a_mean_over_one_test_case_and_without_centers_says_so() -> None:
    assert mean_of_last_row(MATRIX, FAILURES, "dice") == MeanOfRow(
        "known", "stands on one test case; without b (withheld); without c (failed)"
    )
    assert mean_of_last_row(with_cases((0.5, 1), (0.75, 4)), {}, "dice").warning == "on one test case at a"
    assert mean_of_last_row(with_cases((0.5, 2), (0.75, 4)), {}, "dice").warning == ""


def test_a_mean_of_nothing_has_the_word_of_its_cells() -> None:
    held = {**with_cases((None, 0), (None, 0)), "suppressed": {"dice": [[True, False]]}}
    assert mean_of_last_row(held, {}, "dice").text(None, 3) == "withheld"
    assert mean_of_last_row(with_cases((None, 0)), {("adapt", "a"): "internal"}, "dice").text(None, 3) == "failed"
    assert mean_of_last_row(with_cases((None, 2)), {}, "dice").text(None, 3) == "undefined"
    assert mean_of_last_row({**with_cases((None, 0)), "stages": []}, {}, "dice").text(None, 3) == "absent"
    assert MeanOfRow("known").text(0.5, 3) == "0.500"
