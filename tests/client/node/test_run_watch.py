"""While a trainer works, the coordinator is asked whether its work is still wanted; a failure ends nothing."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from client.home.center_home import CenterHome
from client.node import run_watch
from client.node.leftovers import PULL
from client.node.run_watch import watch_messages, watch_run


class Trainer:
    """Counts how often it is told to stop."""

    def __init__(self) -> None:
        self.stopped = threading.Event()

    def cancel(self) -> bool:
        self.stopped.set()
        return True


def watch_with(answers: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Trainer, threading.Event]:
    """Watch a run about which the coordinator says `answers`; gives the trainer and when all have been given."""
    trainer, done = Trainer(), threading.Event()

    class Api:
        def is_run_over(self, _run_id: int, _node_id: int) -> bool:
            found = answers.pop(0) if answers else False
            if not answers:
                done.set()
            if isinstance(found, Exception):
                raise found
            return bool(found)

    monkeypatch.setattr(run_watch, "_connect", lambda _home: nullcontext(Api()))
    monkeypatch.setattr(run_watch, "trainer_at", lambda _path, *, asker: trainer if asker == "run 1" else None)
    with watch_run(CenterHome(tmp_path), run_id=1, node_id=2, interval_s=0.001):
        done.wait(10)
        trainer.stopped.wait(1 if answers == [] else 0)
    return trainer, done


def test_a_run_that_is_over_stops_the_trainer_although_asking_failed_before(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answers = [httpx.ConnectError("gone"), OSError("no file"), RuntimeError("unforeseen"), False, True]
    trainer, done = watch_with(answers, monkeypatch, tmp_path)
    assert done.is_set()
    assert trainer.stopped.is_set()


def test_a_run_that_is_wanted_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    trainer, done = watch_with([False] * 50, monkeypatch, tmp_path)
    assert done.is_set()
    assert not trainer.stopped.is_set()


def test_one_failure_after_the_other_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watch_with([httpx.ConnectError("gone")] * 3 + [OSError("gone"), False], monkeypatch, tmp_path)
    assert [line.getMessage().rpartition(": ")[2] for line in caplog.records] == ["ConnectError", "OSError"]


def test_a_run_is_watched_from_its_message_to_the_next_question_for_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Flower's loop, in short: it asks, pulls what the message names, has it answered, sends that, and asks again."""
    told: list[str] = []

    @contextmanager
    def watch(_home: CenterHome, *, run_id: int, node_id: int) -> Iterator[None]:
        told.append(f"run {run_id} of node {node_id}")
        yield
        told.append("watched no more")

    def start_client_internal(loop: Any) -> None:
        loop._pull_and_store_message()

    def pull(*, state: Any, receive: Any, lost: bool = False) -> int | None:
        found = receive()
        told.append("pulls" if found else "idle")
        return None if lost or found is None else 5

    loop: Any = SimpleNamespace(start_client_internal=start_client_internal, **{PULL: pull})
    monkeypatch.setattr(run_watch, "watch_run", watch)
    watch_messages(loop, CenterHome(tmp_path))
    state, message = SimpleNamespace(get_node_id=lambda: 7), SimpleNamespace(metadata=SimpleNamespace(run_id=5))
    ask = getattr(loop, PULL)
    assert ask(state=state, receive=lambda: None) is None
    assert ask(state=state, receive=lambda: (message, None)) == 5
    told.append("answered and sent")
    assert ask(state=state, receive=lambda: None) is None
    begun = ["run 5 of node 7", "pulls"]
    assert told == ["idle", *begun, "answered and sent", "watched no more", "idle"]
    assert ask(state=state, receive=lambda: (message, None), lost=True) is None
    assert told[-3:] == [*begun, "watched no more"]
