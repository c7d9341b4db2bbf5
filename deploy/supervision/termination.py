"""SIGTERM ends a long command as Ctrl-C does: what is complete is written out, and the exit code says which it was.

A command that a service starts, or `nohup`, has SIGINT ignored: SIGTERM is then all that ends it.
"""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

TERMINATED = 128 + signal.SIGTERM


class TerminatedError(KeyboardInterrupt):
    """SIGTERM arrived; an interrupt, so that whatever tidies up after Ctrl-C tidies up now."""


@contextmanager
def interrupt_on_sigterm() -> Iterator[None]:
    """Take SIGTERM for an interrupt within the block, which then ends with SystemExit(143).

    A second one interrupts the tidying up too. Only the main thread may take signals; elsewhere they keep their
    meaning.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    except TerminatedError:
        sys.exit(TERMINATED)
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise TerminatedError
