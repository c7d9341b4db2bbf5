"""A figure on too few cases is withheld alone; what is withheld is undefined, not zero."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from protocol.messages.reply import Reply
from protocol.messages.scores import Comparison, Score
from tests.support.leaving import (
    COMPARED,
    PAYLOAD,
    REPLY,
    lines_of,
    send,
)
from tests.support.segmentation_scores import dice_score


def test_comparison_on_enough_cases_leaves(tmp_path: Path) -> None:
    """Five cases, the minimum exactly."""
    log = tmp_path / "log"
    assert send(COMPARED, log) is COMPARED
    line = lines_of(log)[0]
    assert (line["comparison"], line["held_back"]) == ({"cases": 5, "difference": 0.25, "replicates": 2}, [])


def test_comparison_on_too_few_cases_is_withheld_alone(tmp_path: Path) -> None:
    log = tmp_path / "log"
    reply = replace(COMPARED, scores=REPLY.scores, comparison=Comparison(4, 0.25, (0.5,)))
    assert send(reply, log) == replace(COMPARED, scores=REPLY.scores, comparison=None)
    line = lines_of(log)[0]
    assert line["comparison"] is None
    assert line["held_back"] == ["comparison stands on 4 case(s), this center sends from 5 on"]


def _few(cases: int, **undefined: int) -> Score:
    return dice_score(cases, 0.5, 3.0, **undefined)


@pytest.mark.parametrize(
    ("scores", "leaving", "reason"),
    [
        ({"ct": _few(4), "ct+pet": _few(5)}, {"ct+pet": _few(5)}, "scores of setting 'ct' stand on 4 case(s)"),
        (
            {"ct": _few(6, dice_undefined=2)},
            {"ct": replace(_few(6, dice_undefined=2), values={"dice": None, "hd95_mm": 3.0})},
            "Dice of setting 'ct' stands on 4 case(s)",
        ),
        (
            {"ct": _few(6, hd95_undefined=5)},
            {"ct": replace(_few(6, hd95_undefined=5), values={"dice": 0.5, "hd95_mm": None})},
            "HD95 of setting 'ct' stands on 1 case(s)",
        ),
    ],
)
def test_scores_on_too_few_cases_are_withheld_alone(tmp_path: Path, scores: Any, leaving: Any, reason: str) -> None:
    """What is withheld is undefined, not zero; a mean over six cases of which two count is a mean of four or two."""
    reply = replace(REPLY, scores=scores)
    assert send(reply, tmp_path / "log") == replace(reply, scores=leaving)
    assert lines_of(tmp_path / "log")[0]["held_back"] == [f"{reason}, this center sends from 5 on"]


def test_a_loss_without_enough_training_cases_behind_it_is_withheld_alone(tmp_path: Path) -> None:
    reply = replace(REPLY, payload=replace(PAYLOAD, tensors={}, support={"peft": 4, "pet": 2}))
    assert send(reply, tmp_path / "log") == replace(reply, loss=None)
    line = lines_of(tmp_path / "log")[0]
    assert line["held_back"] == ["loss stands on 4 case(s), this center sends from 5 on"]
    assert line["loss"] is None


def test_counts_of_cases_leave_however_small(tmp_path: Path) -> None:
    reply = Reply(center="a", kind="register", facts={"validation_cases": 1, "test_cases": 0})
    assert send(reply, tmp_path / "log") is reply
