"""The next batch is made in a thread while the step on this one runs: torch and NumPy let other threads work meanwhile.

    with prefetch(draw_batches(..., rng)) as batches:
        for batch in batches: ...

The thread asks the iterator for one item after the other, as a loop of its own would: with the same generator the draws
are the same. At most one batch is ahead. The generator belongs to the thread until the block is left.
"""

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def prefetch(items: Iterator[T]) -> Iterator[Iterator[T]]:
    """The items of an iterator, each made while the one before is used.

    An error in making an item is raised where that item is asked for. However the block is left, by an error, a
    cancellation or Ctrl-C, the thread has ended by then: it finishes the item that it is at.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="prefetch") as thread:
        yield _ahead(thread, items)


def _ahead(thread: Executor, items: Iterator[T]) -> Iterator[T]:
    """One item ahead of who iterates."""

    def take() -> list[T]:
        return list(islice(items, 1))

    following = thread.submit(take)
    while made := following.result():
        following = thread.submit(take)
        yield made[0]
