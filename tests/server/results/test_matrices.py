"""The rows of every metric, and transfer and forgetting of each task."""

from typing import Any

import pytest

from protocol.messages.scores import Score
from protocol.messages.suppression import Suppressed
from server.results import matrices
from server.results.matrices import count_undefined, evaluation_matrix, matrices_of, matrix_rows, transfer_of
from server.study.file import Study
from server.study.history import History, Scores, StageRow
from tests.support.textbook_study import ROWS, STAGE, STUDY, R, row, study_of

HISTORY = History(rows=ROWS)


def test_transfer_and_forgetting_are_those_of_the_textbook_matrix() -> None:
    transfer = transfer_of(STUDY, matrices_of(STUDY, HISTORY)["ct"], "segmentation")
    assert transfer["metric"] == "dice"
    assert transfer["average"] == pytest.approx(0.75)
    assert transfer["learning_accuracy"] == pytest.approx(0.85)
    assert transfer["backward_transfer"] == pytest.approx(-0.15)
    assert transfer["forward_transfer"] == pytest.approx(0.20)
    assert transfer["forgetting"] == pytest.approx(0.15)
    assert transfer["worst_center"] == {"center": "a", "value": 0.6}
    assert list(transfer["forgetting_after"]) == ["first", "second", "third"]
    assert transfer["forgetting_after"]["first"] is None
    assert transfer["forgetting_after"]["second"] == pytest.approx(0.1)


def test_row_zero_is_the_last_of_the_leading_pretrain_stages() -> None:
    matrix = matrices_of(STUDY, HISTORY)["ct"]
    assert matrix["stages"] == ["ct2", "first", "second", "third"]
    assert matrix["centers"] == ["a", "b", "c"]
    assert matrix["dice"] == [list(values) for values in R]
    assert matrix["undefined"]["hd95_mm"] == [[1, 1, 1]] * 4
    assert matrix["over_centers"]["hd95_mm"] == [4.0] * 4
    assert matrix["over_centers"]["dice"] == pytest.approx([0.4 / 3, 1.3 / 3, 2 / 3, 0.75])


def test_a_study_without_pretraining_starts_from_the_initial_row() -> None:
    study = study_of([("all", "adapt", ["a", "b"])])
    scored = History(rows=(row("initial", R[0]), row("all", R[1])))
    assert [line.stage for line in matrix_rows(study, scored)] == ["initial", "all"]
    unscored = matrices_of(study, History(rows=(row("all", R[1]),)))["ct"]
    assert unscored["stages"] == ["initial", "all"]
    assert unscored["dice"][0] == [None, None, None]
    assert count_undefined(unscored, "segmentation") == {"dice": 0, "hd95_mm": 3, "cells": 3}


def test_what_a_center_holds_back_is_told_from_what_is_undefined_and_what_was_not_scored() -> None:
    """Of three centers without a Dice: a holds it back, of b's cases it is undefined, c did not answer."""
    study = study_of([("all", "adapt", ["a", "b"])])
    scores: dict[str, Scores] = {"a": {}, "b": {"ct": Score(5, {"dice": None}, {"dice": 5})}}
    history = History(rows=(StageRow("all", scores, suppressed={"a": Suppressed({"ct": ("dice",)})}),))
    matrix = matrices_of(study, history)["ct"]
    assert matrix["dice"][1] == [None, None, None]
    assert matrix["suppressed"]["dice"][1] == [True, False, False]
    assert (matrix["cases"][1], matrix["undefined"]["dice"][1]) == ([0, 5, 0], [0, 5, 0])


def learned(study: Study, task: Any, *stages: str) -> tuple[int | None, ...]:
    found = evaluation_matrix(study, matrices_of(study, History(rows=tuple(row(s, R[0]) for s in stages)))["ct"], task)
    assert found is not None
    return found.learned


def test_a_pooled_center_teaches_the_centers_whose_folders_it_holds() -> None:
    centers = {"a": {}, "b": {}, "c": {}, "pool": {"folders": ["a", "b"], "evaluated": False}}
    study = study_of([("ct", "pretrain", ["pool"]), ("all", "adapt", ["pool"])], centers=centers)
    assert learned(study, "segmentation", "ct", "all") == (1, 1, None)


def test_centers_that_share_a_table_have_their_own_rows_of_it() -> None:
    """The pool has all rows; a and b have those of one hospital each."""
    one, two = ({"folders": ["table"], "rows": {"center": name}} for name in ("HGJ", "HMR"))
    centers = {"a": one, "b": two, "c": {}, "pool": {"folders": ["table"], "evaluated": False}}
    alone = study_of([("ct", "pretrain", ["pool"]), ("first", "adapt", ["a"])], centers=centers)
    assert learned(alone, "segmentation", "ct", "first") == (1, None, None)
    pooled = study_of([("ct", "pretrain", ["pool"]), ("first", "adapt", ["pool"])], centers=centers)
    assert learned(pooled, "segmentation", "ct", "first") == (1, 1, None)
    both = {**centers, "pool": {"folders": ["table"], "evaluated": False, "rows": {"center": ["HGJ", "CHUM"]}}}
    some = study_of([("ct", "pretrain", ["pool"]), ("first", "adapt", ["pool"])], centers=both)
    assert learned(some, "segmentation", "ct", "first") == (1, None, None)


def test_settings_that_nobody_offers_are_left_out() -> None:
    study = study_of([("ct", "pretrain", ["a"])], centers={"a": {"modalities": ["ct"]}})
    assert list(matrices_of(study, History())) == ["ct"]
    assert list(matrices_of(STUDY, History())) == ["ct", "pet", "ct+pet"]


TWO_TASKS = Study.model_validate(
    {
        **study_of([("all", "adapt", ["a"])]).model_dump(),
        "labels": {
            "endpoints": {"death": {"event": "died", "time": "followed", "unit": "days"}},
            "survival": {"head": "cox"},
        },
        "stages": [
            {**STAGE, "name": "contours", "kind": "adapt", "centers": ["a"]},
            {**STAGE, "name": "prognosis", "kind": "adapt", "centers": ["a", "b"], "task": "survival"},
        ],
    }
)


def both(dice: float, concordance: float, pairs: int) -> Score:
    return Score(8, {"dice": dice, "concordance": concordance, "pairs": pairs, "concordance/death": concordance})


def test_every_task_has_its_rows_and_what_was_learned_in_its_own_stages() -> None:
    scored = History(
        rows=(
            StageRow("initial", {"a": {"ct": both(0.1, 0.5, 30)}, "b": {"ct": both(0.1, 0.5, 10)}}),
            StageRow("contours", {"a": {"ct": both(0.8, 0.5, 30)}, "b": {"ct": both(0.2, 0.5, 10)}}),
            StageRow("prognosis", {"a": {"ct": both(0.7, 0.6, 30)}, "b": {"ct": both(0.2, 0.8, 10)}}),
        )
    )
    matrix = matrices_of(TWO_TASKS, scored)["ct"]
    assert matrix["concordance/death"] == [[0.5, 0.5, None], [0.5, 0.5, None], [0.6, 0.8, None]]
    assert matrix["over_centers"]["concordance"] == pytest.approx([0.5, 0.5, 0.65])
    assert matrix["over_centers"]["pairs"] == [40, 40, 40]
    dice, concordance = (evaluation_matrix(TWO_TASKS, matrix, task) for task in TWO_TASKS.tasks)
    assert (dice and dice.learned, concordance and concordance.learned) == ((1, None, None), (2, 2, None))
    assert transfer_of(TWO_TASKS, matrix, "segmentation")["forgetting"] == pytest.approx(0.1)
    assert transfer_of(TWO_TASKS, matrix, "survival")["average"] == pytest.approx(0.7)


def test_a_center_is_held_against_those_alone_that_have_a_folder_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a hundred centers a hundred pairs, not five thousand."""
    names = tuple(f"c{number:03d}" for number in range(100))
    study = study_of([("all", "adapt", list(names))], centers={name: {} for name in names})
    compared: list[str] = []
    meet = matrices._rows_meet

    def count(of: Study, one: str, other: str) -> bool:
        compared.append(one)
        return meet(of, one, other)

    monkeypatch.setattr(matrices, "_rows_meet", count)
    assert matrices._first_rows(study, names, ["initial", "all"], "segmentation") == (1,) * 100
    assert len(compared) == 100
