"""A tracker beside the study: a round does not wait for MLflow, nothing is left out, and a refusal is told."""

import threading
from typing import Any

import pytest

from protocol.errors import StorageError
from server.study.checkpoint import Checkpoint
from server.tracking.background import BackgroundTracker


class Slow:
    """A tracker whose calls wait until the test opens the gate.

    refuses: what raises StorageError.
    """

    def __init__(self, refuses: str = "") -> None:
        self.gate, self.refuses = threading.Event(), refuses
        self.begun = threading.Semaphore(0)
        self.run_ids: dict[str, str] = {}
        self.sent: list[Any] = []

    def open_store(self) -> None:
        self._refuse("open")

    def start(self) -> None:
        self._refuse("start")
        self.run_ids["study"] = "1"

    def catch_up(self, state: Checkpoint) -> None:
        self._refuse("catch_up")
        self.begun.release()
        self.gate.wait(10)
        self.sent.append(state.server_round)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._refuse("end")
        self.sent.append("FINISHED" if kind is None else kind.__name__)

    def _refuse(self, what: str) -> None:
        if what == self.refuses:
            raise StorageError(f"{what} refused")


def state(server_round: int) -> Checkpoint:
    return Checkpoint(0, server_round, "", {})


def test_rounds_go_on_while_mlflow_is_slow_and_what_waits_goes_there_together() -> None:
    """The first is under way while 2, 3 and 4 come: the last of them says what the others said."""
    slow = Slow()
    with BackgroundTracker(slow) as tracker:  # type: ignore[arg-type]
        tracker.catch_up(state(1))
        assert slow.begun.acquire(timeout=10)
        for server_round in (2, 3, 4):
            tracker.catch_up(state(server_round))
        assert slow.sent == []
        slow.gate.set()
    assert slow.sent == [1, 4, "FINISHED"]


def test_a_study_that_was_stopped_sends_what_waits_and_ends_its_runs_so() -> None:
    slow = Slow()
    slow.gate.set()

    def stopped() -> None:
        with BackgroundTracker(slow) as tracker:  # type: ignore[arg-type]
            tracker.catch_up(state(1))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert slow.sent == [1, "KeyboardInterrupt"]


def test_the_runs_are_known_once_one_waits_for_them() -> None:
    with BackgroundTracker(Slow()) as tracker:  # type: ignore[arg-type]
        tracker.wait_for_runs()
        assert tracker.run_ids == {"study": "1"}


def test_a_store_that_cannot_be_opened_stops_the_study_before_its_first_round() -> None:
    with pytest.raises(StorageError, match="open refused"), BackgroundTracker(Slow("open")):  # type: ignore[arg-type]
        raise AssertionError("entered")


@pytest.mark.parametrize("refused", ["start", "catch_up", "end"])
def test_what_a_local_store_refuses_ends_the_study(refused: str) -> None:
    slow = Slow(refused)
    slow.gate.set()
    with pytest.raises(StorageError, match=f"{refused} refused"), BackgroundTracker(slow) as tracker:  # type: ignore[arg-type]
        tracker.catch_up(state(1))
    assert "FINISHED" not in slow.sent


def test_a_refusal_does_not_hide_why_the_study_ended(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ZeroDivisionError), BackgroundTracker(Slow("end")):  # type: ignore[arg-type]
        raise ZeroDivisionError
    assert "end refused" in caplog.text
