"""How fast a PACS may be emptied: so many bytes a second on average, so that the clinic never feels it."""

import time
from collections.abc import Callable

LONGEST_PAUSE_S = 5.0
"""A PACS takes a longer silence within one answer for a broken connection; what is left is waited for later."""


class Pace:
    """Waits after each object until it would have come at the agreed rate.

    Args:
        bytes_per_s: None for as fast as it comes.
        clock: seconds that only grow.
        sleep: what waits.
    """

    def __init__(
        self,
        bytes_per_s: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._bytes_per_s, self._clock, self._sleep = bytes_per_s, clock, sleep
        self._due_s = clock()

    def spend(self, count: int) -> None:
        """Wait for `count` bytes that have come; an idle time before them counts as theirs, and for no others."""
        if self._bytes_per_s is None:
            return
        now_s, takes_s = self._clock(), count / self._bytes_per_s
        self._due_s = max(self._due_s + takes_s, now_s)
        self._sleep(min(self._due_s - now_s, LONGEST_PAUSE_S))
