import logging
from datetime import timedelta
from pathlib import Path

import pytest

from client.learning.cancellation import never_cancelled
from client.service.activity import ACTIVITY, Activity, read_activity
from protocol.errors import StorageError
from protocol.messages.instruction import Instruction
from tests.support.loopback import wait_until
from tests.support.outgoing_logs import SETTINGS

TRAIN = Instruction("train", SETTINGS, "adapt", 3)
WORK = "trains, stage 'adapt', round 3"


def test_an_instruction_is_told_while_it_is_done_and_counted(tmp_path: Path) -> None:
    activity = Activity(tmp_path)
    with activity.beating(every_s=60):
        with activity.during(TRAIN, never_cancelled) as check:
            check()
            check()
            doing, silent_s = read_activity(tmp_path)
            assert doing is not None
            assert (doing.work, doing.until) == (WORK, None)
            assert silent_s < 60
        done, _ = read_activity(tmp_path)
    assert done is not None
    assert (done.until is not None, done.done, done.error) == (True, 2, "")


def test_terminal_and_page_are_told_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What starts, what is under way, how far it is where it takes longer, and how it ended: a code, not "done"."""
    caplog.set_level(logging.INFO)
    activity = Activity(tmp_path)
    activity.begin("starts")
    with activity.beating(every_s=0.01, tell_every=timedelta(seconds=0.01)):
        found, _ = read_activity(tmp_path)
        assert found is not None
        assert (found.work, found.until) == ("starts", None)
        activity.wait()
        with activity.during(TRAIN, never_cancelled) as check:
            check()
            wait_until(lambda: f"{WORK}: 1 steps and cases done after 0 s" in caplog.messages, "a line", within_s=20)
            activity.fail("internal")
        found, _ = read_activity(tmp_path)
    assert found is not None
    assert (found.error, found.done) == ("internal", 1)
    told = [line for line in caplog.messages if "steps and cases" not in line]
    assert told[:3] == ["starts", "waits for the coordinator", WORK]
    assert told[3].startswith(f"{WORK}: failed with 'internal' after ")


def test_work_that_raises_ends_with_its_code(tmp_path: Path) -> None:
    activity = Activity(tmp_path)
    with activity.beating(every_s=60):
        with pytest.raises(StorageError), activity.during(TRAIN, never_cancelled):
            raise StorageError("no space left")
        found, _ = read_activity(tmp_path)
    assert found is not None
    assert found.error == "storage"


def test_work_that_is_broken_off_is_told_as_such(tmp_path: Path) -> None:
    activity = Activity(tmp_path)

    def broken_off() -> None:
        with activity.during(TRAIN, never_cancelled):
            raise KeyboardInterrupt

    with activity.beating(every_s=60):
        with pytest.raises(KeyboardInterrupt):
            broken_off()
        found, _ = read_activity(tmp_path)
    assert found is not None
    assert found.error == "interrupted"


def test_a_trainer_says_that_it_is_there_and_leaves_nothing_behind(tmp_path: Path) -> None:
    activity = Activity(tmp_path)
    with activity.beating(every_s=0.01), activity.during(TRAIN, never_cancelled) as check:
        check()
        wait_until(lambda: getattr(read_activity(tmp_path)[0], "done", 0) == 1, "the count", within_s=20)
    assert not (tmp_path / ACTIVITY).exists()
    assert read_activity(tmp_path) == (None, float("inf"))


@pytest.mark.parametrize("content", [b"", b"{", b'{"kind": 3}', b"[]"])
def test_what_cannot_be_read_is_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ACTIVITY).write_bytes(content)
    assert read_activity(tmp_path)[0] is None


def test_a_disk_that_refuses_does_not_stop_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object) -> None:
        raise StorageError("no space left")

    monkeypatch.setattr("client.service.activity.write_private", refuse)
    activity = Activity(tmp_path)
    with activity.beating(every_s=60), activity.during(TRAIN, never_cancelled) as check:
        check()
    assert list(tmp_path.iterdir()) == []


def test_a_trainer_of_a_simulation_writes_nothing(tmp_path: Path) -> None:
    with Activity(tmp_path).during(TRAIN, never_cancelled) as check:
        check()
    assert list(tmp_path.iterdir()) == []
