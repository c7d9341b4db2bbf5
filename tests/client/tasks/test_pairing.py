"""Means over cases, and two networks compared case by case."""

import pytest

from client.tasks.contract import CaseScore
from client.tasks.pairing import compare_pairs, mean_score
from protocol.messages.scores import Comparison, Score
from protocol.tasks import TASKS
from tests.support.segmentation_task import row

TASK = TASKS["segmentation"]


def rows(**dice: float | None) -> dict[str, CaseScore]:
    return {name: row(name, dice=value) for name, value in dice.items()}


def test_undefined_scores_are_left_out_of_the_mean_and_counted() -> None:
    scores = [row("a", dice=0.5, hd95_mm=4.0), row("b", dice=0.0), row("c", dice=None)]
    assert mean_score(scores, TASK) == Score(3, {"dice": 0.25, "hd95_mm": 4.0}, {"dice": 1, "hd95_mm": 2})


def test_without_a_defined_score_there_is_no_mean() -> None:
    assert mean_score([row("a", dice=None)], TASK) == Score(
        1, {"dice": None, "hd95_mm": None}, {"dice": 1, "hd95_mm": 1}
    )


def test_a_comparison_pairs_the_cases_that_both_define() -> None:
    """Differences 0.2 and -0.1 over two of four cases: mean 0.05, s = 0.15, and 0.15 / sqrt(2) of it."""
    new, old = rows(a=0.5, b=0.6, c=None, d=0.9), rows(a=0.3, b=0.7, c=0.4, d=None)
    found = compare_pairs(new, old, "dice")
    assert found.cases == 2
    assert found.difference == pytest.approx(0.05)
    assert found.standard_error == pytest.approx(0.15 / 2**0.5)


def test_one_case_has_no_standard_error_to_speak_of() -> None:
    assert compare_pairs(rows(a=0.5), rows(a=0.25), "dice") == Comparison(1, 0.25, 0.0)


def test_where_no_case_defines_the_score_there_is_no_difference() -> None:
    assert compare_pairs(rows(a=None), rows(a=0.5), "dice") == Comparison(0, None)
