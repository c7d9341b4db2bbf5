"""Writes that follow each other too closely, put together: the first at once, the others later as one.

What was said last is written in any case, by a timer where nothing follows that would.
"""

import threading
import time
from collections.abc import Callable


class PacedWrites:
    """Calls `write`, never twice at once.

    Args:
        write: writes what is known when it is called.
        pause_s: seconds from the end of a write to the next one that can wait; 0 writes each at once.
        clock: seconds that only rise.
        timer: makes what calls a function after some seconds, once started, unless it is cancelled.
    """

    def __init__(
        self,
        write: Callable[[], None],
        pause_s: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
        timer: Callable[[float, Callable[[], None]], threading.Timer] = threading.Timer,
    ) -> None:
        self._write, self._pause_s, self._clock, self._make_timer = write, pause_s, clock, timer
        self._lock = threading.RLock()  # a signal's handler may write while the program does
        self._timer: threading.Timer | None = None
        self._ended_at = -float("inf")

    def write_now(self) -> None:
        """Write, and with it all that waited."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._write()
            self._ended_at = self._clock()

    def write_soon(self) -> None:
        """Write now where the last one was long enough ago, else with the next one or when it will be."""
        with self._lock:
            if self._timer is not None:
                return
            left_s = self._ended_at + self._pause_s() - self._clock()
            if left_s <= 0:
                self.write_now()
                return
            self._timer = timer = self._make_timer(left_s, lambda: self._ring(timer))
            timer.daemon = True
            timer.start()

    def _ring(self, timer: threading.Timer) -> None:
        with self._lock:
            if self._timer is timer:  # and not cancelled while it waited for the lock
                self.write_now()
