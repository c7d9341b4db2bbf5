"""A center that is lost within an batch is waited for, asked the same again, counted once and named."""

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Message

from protocol.errors import ConciliumError
from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from protocol.messages.settings import Model, StudySettings
from server.grid.center_grid import CenterGrid
from server.grid.retry_policy import RetryPolicy
from tests.support.light_study import ComingAndGoing, LightCenter

SETTINGS = StudySettings(study="demo", seed=0, model=Model(name="none"))
REGISTER = Instruction(kind="register", settings=SETTINGS)
SCORE = Instruction(
    kind="evaluate", settings=SETTINGS, stage="adapt", server_round=1, tensors={"w": np.zeros(3, np.float32)}
)
LOST = Reply("a", "evaluate", error="node-unavailable")


class TrainerAwayError(ConciliumError):
    code = "trainer-unavailable"


@pytest.fixture
def centers(tmp_path: Path) -> dict[str, LightCenter]:
    found = {name: LightCenter(name, tmp_path / name) for name in ("a", "b")}
    for center in found.values():
        center.backbones.add("")
    return found


@pytest.fixture
def grid(centers: dict[str, LightCenter]) -> ComingAndGoing:
    return ComingAndGoing(centers.values())


def patient(grid: ComingAndGoing, patience_s: float = 2) -> CenterGrid:
    return CenterGrid(grid, poll_s=0.005, patience_s=patience_s)


def soon(action: Callable[[], object], delay_s: float = 0.2) -> None:
    timer = threading.Timer(delay_s, action)
    timer.daemon = True
    timer.start()


def asked_of(center: LightCenter) -> list[tuple[str, str, int]]:
    return [(found.kind, found.stage, found.server_round) for found in center.performed]


def failing(*, times: int) -> Callable[[Instruction], None]:
    """A trainer that is away for its first messages."""
    left = [times]

    def before(_: Instruction) -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise TrainerAwayError

    return before


def test_center_that_connects_within_patience_is_asked(grid: ComingAndGoing) -> None:
    grid.away.add("a")
    soon(grid.away.clear)
    replies = patient(grid).ask({"a": SCORE, "b": SCORE}, deadline_s=30)
    assert {center: reply.error for center, reply in replies.items()} == {"a": "", "b": ""}


def test_center_that_never_comes_is_given_up_after_patience_and_named(
    grid: ComingAndGoing, caplog: pytest.LogCaptureFixture
) -> None:
    grid.away.add("a")
    start = time.monotonic()
    replies = patient(grid, 0.3).ask({"a": SCORE, "b": SCORE}, deadline_s=30)
    assert 0.3 <= time.monotonic() - start < 5
    assert replies["a"] == LOST
    assert replies["b"].error == ""
    assert "center 'a' is lost (node-unavailable), adapt/1" in caplog.text


def test_the_deadline_ends_patience(grid: ComingAndGoing) -> None:
    grid.away.add("a")
    start = time.monotonic()
    assert patient(grid, 60).ask({"a": SCORE}, deadline_s=0.2) == {"a": LOST}
    assert time.monotonic() - start < 5


def test_center_that_is_lost_and_back_is_asked_the_same_again(
    grid: ComingAndGoing, centers: dict[str, LightCenter]
) -> None:
    """Flower answers for the node that is gone; 3 float32 values went down twice, 24 bytes."""
    heard: list[tuple[str, str, int]] = []
    center_grid = patient(grid)
    push = grid.push_messages

    def vanish_once(messages: Iterable[Message]) -> list[str]:
        grid.push_messages = push  # type: ignore[method-assign]
        grid.away.add("a")
        soon(grid.away.clear)
        return push(messages)

    grid.push_messages = vanish_once  # type: ignore[method-assign]
    center_grid.ask(
        {"a": SCORE}, deadline_s=30, on_reply=lambda center, reply, down, _up: heard.append((center, reply.error, down))
    )
    assert heard == [("a", "", 24)]
    assert asked_of(centers["a"]) == [("evaluate", "adapt", 1)]


def test_center_whose_trainer_is_back_is_asked_again(grid: ComingAndGoing, centers: dict[str, LightCenter]) -> None:
    centers["a"].before = failing(times=2)
    heard: list[int] = []
    replies = patient(grid).ask({"a": SCORE}, deadline_s=30, on_reply=lambda _c, _r, down, _up: heard.append(down))
    assert replies["a"].error == ""
    assert heard == [36], "three copies of 12 bytes"


def test_trainer_that_stays_away_is_the_error_after_patience(
    grid: ComingAndGoing, centers: dict[str, LightCenter]
) -> None:
    centers["a"].before = failing(times=10**6)
    replies = patient(grid, 0.3).ask({"a": SCORE}, deadline_s=30)
    assert replies == {"a": Reply("a", "evaluate", error="trainer-unavailable")}


def test_without_patience_nobody_is_asked_twice(grid: ComingAndGoing, centers: dict[str, LightCenter]) -> None:
    centers["a"].before = failing(times=1)
    grid.away.add("b")
    replies = CenterGrid(grid, poll_s=0.005).ask({"a": SCORE, "b": SCORE}, deadline_s=30)
    assert {center: reply.error for center, reply in replies.items()} == {
        "a": "trainer-unavailable",
        "b": "node-unavailable",
    }
    assert grid.looks == 1


def test_a_lasting_error_is_not_asked_again(grid: ComingAndGoing, centers: dict[str, LightCenter]) -> None:
    def refuse(_: Instruction) -> None:
        raise ConciliumError

    centers["a"].before = refuse
    heard: list[int] = []
    patient(grid).ask({"a": SCORE}, deadline_s=30, on_reply=lambda _c, _r, down, _up: heard.append(down))
    assert heard == [12]


def test_node_that_started_anew_lost_its_message_and_is_asked_again(grid: ComingAndGoing) -> None:
    """Nobody says so: the message is never answered, and the node is connected all the time."""
    grid.swallowed.add("a")
    soon(lambda: grid.activations.update(a="later"))
    center_grid = patient(grid)
    assert center_grid.ask({"a": SCORE}, deadline_s=30)["a"].error == ""
    assert center_grid._overdue == {}, "the copy that was lost is not waited for"


def test_first_answer_of_two_copies_counts_once_and_the_other_is_never_heard(
    grid: ComingAndGoing, centers: dict[str, LightCenter]
) -> None:
    """Both copies are answered at the same moment, after the node has started anew."""
    grid.held.add("a")
    center_grid, heard, late = patient(grid, 1), [], []
    soon(lambda: grid.activations.update(a="later"))
    soon(grid.held.clear, 0.6)
    center_grid.ask({"a": SCORE}, deadline_s=30, on_reply=lambda center, *_: heard.append(center))
    center_grid.ask({"b": SCORE}, deadline_s=30, on_late=lambda center, _reply: late.append(center))
    assert (heard, late) == (["a"], [])
    assert asked_of(centers["a"]) == [("evaluate", "adapt", 1)] * 2


def test_center_at_work_is_not_given_up(grid: ComingAndGoing) -> None:
    """It was lost, came back, and takes longer than patience for its answer."""
    grid.away.add("a")
    grid.held.add("a")
    soon(grid.away.clear, 0.05)
    soon(grid.held.clear, 0.8)
    assert patient(grid, 0.3).ask({"a": SCORE}, deadline_s=30)["a"].error == ""


def test_answer_of_a_center_that_was_given_up_is_heard_late(grid: ComingAndGoing) -> None:
    """It is not connected for longer than patience, and answers once it is back."""
    grid.held.add("a")
    center_grid, late = patient(grid, 0.2), []
    soon(lambda: grid.away.add("a"), 0.05)
    assert center_grid.ask({"a": SCORE}, deadline_s=30)["a"].error == "node-unavailable"
    grid.away.clear()
    grid.held.clear()
    center_grid.ask({"b": SCORE}, deadline_s=30, on_late=lambda center, _reply: late.append(center))
    assert late == ["a"]


def test_registration_asks_a_trainer_again_that_was_away(grid: ComingAndGoing, centers: dict[str, LightCenter]) -> None:
    centers["a"].before = failing(times=2)
    replies = patient(grid).register(REGISTER, deadline_s=30, expected=["a", "b"])
    assert {center: reply.error for center, reply in replies.items()} == {"a": "", "b": ""}


def test_registration_asks_a_node_that_started_anew(grid: ComingAndGoing) -> None:
    grid.swallowed.add("a")
    soon(lambda: grid.activations.update(a="later"))
    assert sorted(patient(grid).register(REGISTER, deadline_s=30, expected=["a"])) == ["a"]


def test_registration_goes_on_with_enough_once_patience_is_over(grid: ComingAndGoing) -> None:
    grid.away.add("a")
    start = time.monotonic()
    replies = patient(grid, 0.3).register(REGISTER, deadline_s=30, expected=["a", "b"], enough=1)
    assert sorted(replies) == ["b"]
    assert 0.3 <= time.monotonic() - start < 5


def test_registration_waits_for_enough_until_the_deadline(grid: ComingAndGoing) -> None:
    """RetryPolicy is over long before the second center comes."""
    grid.away.add("a")
    soon(grid.away.clear, 0.6)
    replies = patient(grid, 0.1).register(REGISTER, deadline_s=30, expected=["a", "b"], enough=2)
    assert sorted(replies) == ["a", "b"]


def test_center_at_work_on_an_overdue_message_is_not_idle(grid: ComingAndGoing) -> None:
    grid.held.add("a")
    center_grid = patient(grid)
    center_grid.ask({"a": SCORE}, deadline_s=0.05)
    assert center_grid.idle() == ("b",)
    grid.activations["a"] = "later"
    assert center_grid.idle() == ("a", "b"), "it started anew and works on nothing"


def test_time_runs_on_for_a_center_that_is_lost_again_at_once() -> None:
    """Lost at 0, asked at 8, lost at 9: ten seconds of patience end at 10."""
    patience = RetryPolicy(10)
    patience.lose("a", LOST, 0)
    patience.asked("a", 8)
    assert patience.given_up(30) == {}
    patience.lose("a", LOST, 9)
    assert patience.given_up(9.9) == {}
    assert patience.given_up(10) == {"a": LOST}


def test_center_that_worked_in_between_has_all_the_time_again() -> None:
    """Lost at 0, asked at 1, lost at 20: its time ends at 30."""
    patience = RetryPolicy(10)
    patience.lose("a", LOST, 0)
    patience.asked("a", 1)
    patience.lose("a", LOST, 20)
    assert patience.given_up(29) == {}
    assert patience.given_up(30) == {"a": LOST}


def test_center_is_not_asked_again_without_a_pause() -> None:
    """A twentieth of ten seconds, half a second."""
    patience = RetryPolicy(10)
    patience.lose("a", LOST, 0)
    assert not patience.may_ask("a", 0.4)
    assert patience.may_ask("a", 0.5)
