"""A center that is lost while it is asked is waited for, asked the same again, counted once and named."""

import time
from collections.abc import Iterable

import numpy as np
import pytest
from flwr.app import Message

from protocol.errors import ConciliumError, StorageError
from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from server.grid.center_grid import CenterGrid
from tests.support.grids import SETTINGS, in_time, late_centers
from tests.support.light_study import ComingAndGoing, LightCenter
from tests.support.patient_grid import asked_of, failing, patient, soon

SCORE = Instruction(
    kind="evaluate", settings=SETTINGS, stage="adapt", server_round=1, tensors={"w": np.zeros(3, np.float32)}
)
LOST = Reply("a", "evaluate", error="node-unavailable")


def test_center_that_connects_within_patience_is_asked(grid: ComingAndGoing) -> None:
    grid.away.add("a")
    soon(grid.away.clear)
    replies = in_time(patient(grid).ask({"a": SCORE, "b": SCORE}, deadline_s=30))
    assert {center: reply.error for center, reply in replies.items()} == {"a": "", "b": ""}


def test_center_that_never_comes_is_given_up_after_patience_and_named(
    grid: ComingAndGoing, caplog: pytest.LogCaptureFixture
) -> None:
    grid.away.add("a")
    start = time.monotonic()
    replies = in_time(patient(grid, 0.3).ask({"a": SCORE, "b": SCORE}, deadline_s=30))
    assert 0.3 <= time.monotonic() - start < 5
    assert replies["a"] == LOST
    assert replies["b"].error == ""
    assert "center 'a' is lost (node-unavailable), adapt/1" in caplog.text


def test_the_deadline_ends_patience(grid: ComingAndGoing) -> None:
    grid.away.add("a")
    start = time.monotonic()
    assert in_time(patient(grid, 60).ask({"a": SCORE}, deadline_s=0.2)) == {"a": LOST}
    assert time.monotonic() - start < 5


def test_center_that_is_lost_and_back_is_asked_the_same_again(
    grid: ComingAndGoing, centers: dict[str, LightCenter]
) -> None:
    """Flower answers for the node that is gone; 3 float32 values went down twice, 24 bytes."""
    center_grid = patient(grid)
    push = grid.push_messages

    def vanish_once(messages: Iterable[Message]) -> list[str]:
        grid.push_messages = push  # type: ignore[method-assign]
        grid.away.add("a")
        soon(grid.away.clear)
        return push(messages)

    grid.push_messages = vanish_once  # type: ignore[method-assign]
    (answer,) = center_grid.ask({"a": SCORE}, deadline_s=30)
    assert (answer.center, answer.reply.error, answer.bytes_down) == ("a", "", 24)
    assert asked_of(centers["a"]) == [("evaluate", "adapt", 1)]


def test_center_whose_trainer_is_back_is_asked_again(grid: ComingAndGoing, centers: dict[str, LightCenter]) -> None:
    centers["a"].before = failing(times=2)
    (answer,) = patient(grid).ask({"a": SCORE}, deadline_s=30)
    assert answer.reply.error == ""
    assert answer.bytes_down == 36, "three copies of 12 bytes"


def test_a_center_whose_disk_was_full_is_asked_again_as_one_that_was_away(
    grid: ComingAndGoing, centers: dict[str, LightCenter]
) -> None:
    """Else its cell of the matrix would stay empty for good."""
    centers["a"].before = failing(times=2, error=StorageError)
    (answer,) = patient(grid).ask({"a": SCORE}, deadline_s=30)
    assert (answer.reply.error, answer.bytes_down) == ("", 36)


def test_trainer_that_stays_away_is_the_error_after_patience(
    grid: ComingAndGoing, centers: dict[str, LightCenter]
) -> None:
    centers["a"].before = failing(times=10**6)
    replies = in_time(patient(grid, 0.3).ask({"a": SCORE}, deadline_s=30))
    assert replies == {"a": Reply("a", "evaluate", error="trainer-unavailable")}


def test_without_patience_nobody_is_asked_twice(grid: ComingAndGoing, centers: dict[str, LightCenter]) -> None:
    centers["a"].before = failing(times=1)
    grid.away.add("b")
    replies = in_time(CenterGrid(grid, poll_s=0.005).ask({"a": SCORE, "b": SCORE}, deadline_s=30))
    assert {center: reply.error for center, reply in replies.items()} == {
        "a": "trainer-unavailable",
        "b": "node-unavailable",
    }
    assert grid.looks == 1


def test_a_lasting_error_is_not_asked_again(grid: ComingAndGoing, centers: dict[str, LightCenter]) -> None:
    def refuse(_: Instruction) -> None:
        raise ConciliumError

    centers["a"].before = refuse
    (answer,) = patient(grid).ask({"a": SCORE}, deadline_s=30)
    assert answer.bytes_down == 12


def test_node_that_started_anew_lost_its_message_and_is_asked_again(grid: ComingAndGoing) -> None:
    """Nobody says so: the message is never answered, and the node is connected all the time."""
    grid.swallowed.add("a")
    soon(lambda: grid.activations.update(a="later"))
    center_grid = patient(grid)
    assert in_time(center_grid.ask({"a": SCORE}, deadline_s=30))["a"].error == ""
    assert center_grid._overdue == {}, "the copy that was lost is not waited for"


def test_first_answer_of_two_copies_counts_once_and_the_other_is_never_heard(
    grid: ComingAndGoing, centers: dict[str, LightCenter]
) -> None:
    """Both copies are answered at the same moment, after the node has started anew."""
    grid.held.add("a")
    center_grid = patient(grid, 1)
    soon(lambda: grid.activations.update(a="later"))
    soon(grid.held.clear, 0.6)
    assert [answer.center for answer in center_grid.ask({"a": SCORE}, deadline_s=30)] == ["a"]
    assert late_centers(center_grid.ask({"b": SCORE}, deadline_s=30)) == []
    assert asked_of(centers["a"]) == [("evaluate", "adapt", 1)] * 2


def test_center_at_work_is_not_given_up(grid: ComingAndGoing) -> None:
    """It was lost, came back, and takes longer than patience for its answer."""
    grid.away.add("a")
    grid.held.add("a")
    soon(grid.away.clear, 0.05)
    soon(grid.held.clear, 0.8)
    assert in_time(patient(grid, 0.3).ask({"a": SCORE}, deadline_s=30))["a"].error == ""


def test_answer_of_a_center_that_was_given_up_is_heard_late(grid: ComingAndGoing) -> None:
    """It is not connected for longer than patience, and answers once it is back."""
    grid.held.add("a")
    center_grid = patient(grid, 0.2)
    soon(lambda: grid.away.add("a"), 0.05)
    assert in_time(center_grid.ask({"a": SCORE}, deadline_s=30))["a"].error == "node-unavailable"
    grid.away.clear()
    grid.held.clear()
    assert late_centers(center_grid.ask({"b": SCORE}, deadline_s=30)) == ["a"]


def test_center_at_work_on_an_overdue_message_is_not_idle(grid: ComingAndGoing) -> None:
    grid.held.add("a")
    center_grid = patient(grid)
    assert list(center_grid.ask({"a": SCORE}, deadline_s=0.05)) == []
    assert center_grid.idle() == ("b",)
    grid.activations["a"] = "later"
    assert center_grid.idle() == ("a", "b"), "it started anew and works on nothing"
