"""How a command ends that is interrupted: at once, or after what is under way; handlers of before come back."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from client.cli.interruption import exit_on_signals, note_stop


@contextmanager
def closing_by(close: Callable[[], None]) -> Iterator[None]:
    try:
        yield
    finally:
        close()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_block_with_its_code_and_what_is_open_is_closed(number: int, code: int) -> None:
    before, closed = signal.getsignal(signal.SIGTERM), threading.Event()
    with pytest.raises(SystemExit) as left, exit_on_signals(), closing_by(closed.set):
        signal.raise_signal(number)
    assert (left.value.code, closed.is_set()) == (code, True)
    assert signal.getsignal(signal.SIGTERM) is before


def test_other_threads_leave_signals_alone() -> None:
    before, seen = signal.getsignal(signal.SIGTERM), []

    def work() -> None:
        with exit_on_signals():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_is_noted_with_its_exit_code(number: int, code: int) -> None:
    before = signal.getsignal(number)
    with note_stop() as note:
        assert not note
        os.kill(os.getpid(), number)
        assert note
        assert note.exit_code == code
    assert signal.getsignal(number) is before


def test_the_second_signal_interrupts() -> None:
    with note_stop():
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_another_thread_notes_no_signals() -> None:
    before, notes = signal.getsignal(signal.SIGTERM), []

    def look() -> None:
        with note_stop() as note:
            notes.append((bool(note), signal.getsignal(signal.SIGTERM) is before))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert notes == [(False, True)]
