"""Ctrl-C and SIGTERM end a command cleanly, at once or after what is under way; the exit code says which it was."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
EXIT_BASE = 128


@dataclass
class StopNote:
    """The signal that asked to stop; 0 while none did."""

    number: int = 0

    @property
    def exit_code(self) -> int:
        """What a shell expects of a program that a signal ended: 130 after Ctrl-C, 143 after SIGTERM."""
        return EXIT_BASE + self.number

    def __bool__(self) -> bool:
        """Whether to stop."""
        return self.number != 0


@contextmanager
def exit_on_signals() -> Iterator[None]:
    """Leave the block at once, with SystemExit(130) on an interrupt, with SystemExit(143) on SIGTERM."""

    def leave(number: int, _frame: FrameType | None) -> None:
        sys.exit(EXIT_BASE + number)

    with _taking(leave):
        yield


@contextmanager
def note_stop() -> Iterator[StopNote]:
    """Note the first signal, for a block that then stops by itself; a second one raises KeyboardInterrupt."""
    note = StopNote()

    def take(number: int, _frame: FrameType | None) -> None:
        if note:
            raise KeyboardInterrupt
        note.number = number

    with _taking(take):
        yield note


@contextmanager
def _taking(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Only the main thread may take signals; elsewhere they keep their meaning."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
