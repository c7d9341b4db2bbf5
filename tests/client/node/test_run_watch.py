"""While a trainer works, the coordinator is asked whether its work is still wanted; a failure ends nothing."""

import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from client.home.center_home import CenterHome
from client.node import run_watch
from client.node.run_watch import watch_run


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

    def is_over(*_: Any) -> bool:
        found = answers.pop(0) if answers else False
        if not answers:
            done.set()
        if isinstance(found, Exception):
            raise found
        return bool(found)

    monkeypatch.setattr(run_watch, "_is_over", is_over)
    monkeypatch.setattr(run_watch, "trainer_at", lambda _path: trainer)
    with watch_run(CenterHome(tmp_path), run_id=1, node_id=2, interval_s=0.001):
        done.wait(10)
        trainer.stopped.wait(1 if answers == [] else 0)
    return trainer, done


def test_a_run_that_is_over_stops_the_trainer_although_asking_failed_before(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answers = [httpx.ConnectError("gone"), OSError("no file"), False, True]
    trainer, done = watch_with(answers, monkeypatch, tmp_path)
    assert done.is_set()
    assert trainer.stopped.is_set()


def test_a_run_that_is_wanted_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    trainer, done = watch_with([False] * 50, monkeypatch, tmp_path)
    assert done.is_set()
    assert not trainer.stopped.is_set()
