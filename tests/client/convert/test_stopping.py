"""The first signal is noted, the second interrupts, and the handlers of before come back."""

import os
import signal
import threading

import pytest

from client.convert.stopping import note_stop


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


def test_another_thread_takes_no_signals() -> None:
    before, notes = signal.getsignal(signal.SIGTERM), []

    def look() -> None:
        with note_stop() as note:
            notes.append((bool(note), signal.getsignal(signal.SIGTERM) is before))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert notes == [(False, True)]
