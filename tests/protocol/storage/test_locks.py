"""Locks on files: one holder at a time, none that outlives its process."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from protocol.storage.locks import FOREVER_S, LockHeldError, hold_lock, is_held

HOLDER = """
import sys, time
from pathlib import Path
from protocol.storage.locks import hold_lock
with hold_lock(Path(sys.argv[1])):
    sys.stdout.write("held\\n"); sys.stdout.flush()
    time.sleep(600)
"""


def test_another_process_is_named_and_frees_the_lock_by_dying(tmp_path: Path, repository: Path) -> None:
    lock = tmp_path / "a.lock"
    command = [sys.executable, "-c", HOLDER, str(lock)]
    with subprocess.Popen(command, cwd=repository, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        try:
            assert is_held(lock)
            with pytest.raises(LockHeldError) as refused, hold_lock(lock):
                pass
        finally:
            os.kill(holder.pid, signal.SIGKILL)
    assert refused.value.holder == str(holder.pid)
    assert not is_held(lock)
    with hold_lock(lock):
        assert lock.read_text() == f"{os.getpid()}\n"


def test_a_second_holder_in_the_same_process_is_refused_too(tmp_path: Path) -> None:
    with hold_lock(tmp_path / "a.lock"), pytest.raises(LockHeldError), hold_lock(tmp_path / "a.lock"):
        pass


def test_who_waits_for_ever_gets_the_lock_when_it_is_free(tmp_path: Path) -> None:
    lock, order, has_lock = tmp_path / "a.lock", [], threading.Event()

    def hold() -> None:
        with hold_lock(lock):
            has_lock.set()
            waits.wait(10)
            order.append("first")

    waits = threading.Event()
    first = threading.Thread(target=hold)
    first.start()
    has_lock.wait()
    threading.Timer(0.1, waits.set).start()
    with hold_lock(lock, wait_s=FOREVER_S):
        order.append("second")
    first.join()
    assert order == ["first", "second"]


def test_an_error_in_the_block_frees_the_lock(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), hold_lock(tmp_path / "a.lock"):
        _ = 1 / 0
    assert not is_held(tmp_path / "a.lock")


def test_asking_makes_no_file(tmp_path: Path) -> None:
    assert not is_held(tmp_path / "a.lock")
    assert list(tmp_path.iterdir()) == []


def test_the_file_stays_with_the_mode_asked_for(tmp_path: Path) -> None:
    with hold_lock(tmp_path / "a.lock", mode=0o600):
        pass
    assert (tmp_path / "a.lock").stat().st_mode & 0o777 == 0o600


def test_no_folder_is_made_for_a_lock(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), hold_lock(tmp_path / "none" / "a.lock"):
        pass
    assert not (tmp_path / "none").exists()


def test_who_asks_may_say_what_a_held_lock_means(tmp_path: Path) -> None:
    lock = tmp_path / "a.lock"
    with (
        hold_lock(lock),
        pytest.raises(KeyError, match=str(os.getpid())),
        hold_lock(lock, otherwise=lambda held: KeyError(held.holder)),
    ):
        pass
