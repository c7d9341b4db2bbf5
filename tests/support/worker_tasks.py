"""Tasks for workers of other processes, which import them by name."""

import os
import signal
import time


def double(number: int) -> int:
    """Twice the number; 13 raises, 99 kills its process, and a negative number waits that many tenths of a second."""
    if number == 13:
        raise ValueError("13 is refused")
    if number == 99:
        os.kill(os.getpid(), signal.SIGKILL)
    if number < 0:
        time.sleep(-number / 10)
    return 2 * number


def prepare() -> None:
    """Nothing to prepare."""
