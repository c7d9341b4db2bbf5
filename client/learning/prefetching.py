"""The next batch is made in a thread while the step on this one runs: torch and NumPy let other threads work meanwhile.

    with prefetch(draw, count) as batches:
        for batch in batches: ...

`draw` is called `count` times, one call after the other, as a loop of its own would: with the same generator the draws
are the same. At most one batch is ahead. The generator belongs to the thread until the block is left.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def prefetch(draw: Callable[[], T], count: int) -> Iterator[Iterator[T]]:
    """What `count` calls of `draw` return, each made while the one before is used.

    An error of a call is raised where its result is asked for. However the block is left, by an error, a cancellation
    or Ctrl-C, the thread has ended by then: it finishes the call that it is at and begins no other.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="prefetch") as thread:
        try:
            yield _ahead(thread, draw, count)
        finally:
            thread.shutdown(wait=True, cancel_futures=True)


def _ahead(thread: Executor, draw: Callable[[], T], count: int) -> Iterator[T]:
    """One call ahead of who iterates."""
    waiting = deque(thread.submit(draw) for _ in range(min(1, count)))
    for left in reversed(range(count)):
        made = waiting.popleft().result()
        if left:
            waiting.append(thread.submit(draw))
        yield made
