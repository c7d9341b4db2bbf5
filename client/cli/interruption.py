"""Ctrl-C and SIGTERM end a long command cleanly: what is open is closed, and the exit code says which it was."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM


@contextmanager
def exit_on_signals() -> Iterator[None]:
    """Leave the block with SystemExit(130) on an interrupt, with SystemExit(143) on SIGTERM.

    Only the main thread may set signal handlers; elsewhere signals keep their meaning.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(_number: int, _frame: FrameType | None) -> None:
    sys.exit(TERMINATED)
