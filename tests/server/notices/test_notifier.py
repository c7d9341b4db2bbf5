"""Each event once, by every channel, over restarts; what hangs or fails stops nobody."""

import logging
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from protocol.errors import LaunchError, StorageError
from server.notices import notifier as module
from server.notices.events import Notice
from server.notices.notifier import Notifier
from server.study.directory import StudyDirectory
from tests.support.coordinator_root import enroll, init_root, report, want
from tests.support.listed_link import NOW, ListedLink, run

STOPPED = {"run_id": "1", "code": "bank", "reason": "the bank is damaged", "server_round": 2}


@pytest.fixture
def directory(tmp_path: Path) -> StudyDirectory:
    """A study that stopped by itself, with a webhook; no certificate ends soon."""
    directory = init_root(tmp_path / "root")
    directory.notice_settings.write_text('webhook = "https://chat.example/x"\n')
    enroll(directory, ["center-a"])
    want(directory)
    report(directory, "failed", **STOPPED)
    return directory


class Sender:
    """Takes notices, or fails."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.fails = False

    def __call__(self, told: Notice) -> None:
        if self.fails:
            raise LaunchError("nobody answers")
        self.taken.append(told.kind)


@pytest.fixture
def sender(monkeypatch: pytest.MonkeyPatch) -> Sender:
    sender = Sender()
    monkeypatch.setattr(module, "channels", lambda _settings, _study: {"webhook": sender})
    monkeypatch.setattr(module, "expiry_notices", lambda _directory, _now: ())
    return sender


def notifier(directory: StudyDirectory, at=lambda: NOW) -> Notifier:
    return Notifier(directory, lambda: ListedLink(run("finished:failed")), at)


def test_an_event_is_told_once_and_not_again_after_a_restart(directory: StudyDirectory, sender: Sender):
    one = notifier(directory)
    one.look()
    one.look()
    notifier(directory).look()
    assert sender.taken == ["study-stopped"]


def test_what_could_not_be_sent_is_tried_again_after_five_minutes(directory: StudyDirectory, sender: Sender):
    now = [NOW]
    told = notifier(directory, lambda: now[0])
    sender.fails = True
    told.look()
    sender.fails = False
    now[0] += timedelta(minutes=4)
    told.look()
    assert sender.taken == []
    now[0] += timedelta(minutes=1)
    told.look()
    assert sender.taken == ["study-stopped"]


def test_a_disk_that_refuses_the_file_repeats_nothing(directory: StudyDirectory, sender: Sender, monkeypatch):
    def refuse(*_: object) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr(module, "write_sent", refuse)
    told = notifier(directory)
    for _ in range(2):
        try:
            told.look()
        except StorageError:
            continue
    assert sender.taken == ["study-stopped"]


def test_without_settings_nothing_is_looked_at(directory: StudyDirectory, sender: Sender):
    directory.notice_settings.unlink()
    Notifier(directory, connect=lambda: pytest.fail("asked")).look()
    assert sender.taken == []


def test_trouble_is_said_once_and_ends_nothing(directory: StudyDirectory, sender: Sender, caplog):
    directory.notice_settings.write_text("webhok = 1")
    told, stopped, waits = notifier(directory), threading.Event(), []

    class Clocked(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout)
            return len(waits) > 3

    with caplog.at_level(logging.WARNING):
        told.keep(Clocked(), look_every_s=7)
    assert waits == [7, 7, 7, 7]
    assert len([record for record in caplog.records if "webhok" in record.message]) == 1
    assert not stopped.is_set()


def test_a_channel_that_hangs_holds_up_nobody(directory: StudyDirectory, sender: Sender, monkeypatch):
    """The thread that sends is none of the watchdog's, and its program ends without it."""
    hanging, ended = threading.Event(), threading.Event()
    monkeypatch.setattr(module, "channels", lambda *_: {"webhook": lambda _told: hanging.wait(20)})
    monkeypatch.setattr(module, "LOOK_EVERY_S", 0.0)
    notifier(directory).start(ended)
    (thread,) = [found for found in threading.enumerate() if found.name == "notices"]
    assert thread.daemon
    ended.set()
    hanging.set()
    thread.join(20)
    assert not thread.is_alive()
