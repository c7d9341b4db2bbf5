"""Ctrl-C and SIGTERM, taken as a wish to stop soon: the first is noted, the second interrupts."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

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
def note_stop() -> Iterator[StopNote]:
    """Note the first signal; a second one raises KeyboardInterrupt. Only the main thread may take signals."""
    note = StopNote()

    def take(number: int, _frame: object) -> None:
        if note:
            raise KeyboardInterrupt
        note.number = number

    if threading.current_thread() is not threading.main_thread():
        yield note
        return
    before = {number: signal.signal(number, take) for number in SIGNALS}
    try:
        yield note
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
