"""Prefetching: the draws of a plain loop in its order, one ahead, and no thread left behind."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from client.learning.prefetching import prefetch


class Draws:
    """Counts up from 1, remembers the thread of each item, and fails at one of them."""

    def __init__(self, count: int, fails_at: int | None = None) -> None:
        self.threads: list[int] = []
        self.count, self.fails_at = count, fails_at

    def __iter__(self) -> Iterator[int]:
        for number in range(1, self.count + 1):
            self.threads.append(threading.get_ident())
            if number == self.fails_at:
                raise OSError(f"item {number}")
            yield number


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def test_draws_are_those_of_a_plain_loop() -> None:
    ahead, plain = np.random.default_rng(0), np.random.default_rng(0)
    with prefetch(ahead.random(3).tolist() for _ in range(5)) as found:
        assert list(found) == [plain.random(3).tolist() for _ in range(5)]
    assert ahead.random() == plain.random()


@pytest.mark.parametrize("count", [0, 1, 4])
def test_every_item_once_all_made_in_one_other_thread(count: int) -> None:
    draws = Draws(count)
    with prefetch(iter(draws)) as found:
        assert list(found) == list(range(1, count + 1))
    assert len(draws.threads) == count
    assert len(set(draws.threads) - {threading.get_ident()}) == min(1, count)


def test_one_item_is_made_ahead_while_another_is_used() -> None:
    """The second one is begun although the first is still in use; the third waits for it."""
    begun = [threading.Event() for _ in range(4)]

    def begin() -> Iterator[None]:
        for event in begun:
            event.set()
            yield

    with prefetch(begin()) as found:
        next(found)
        assert begun[1].wait(10)
        assert not begun[2].wait(0.05)
        assert len(list(found)) == 3


def test_an_error_is_raised_where_its_item_is_asked_for_and_ends_them() -> None:
    draws = Draws(5, fails_at=2)
    with prefetch(iter(draws)) as found:
        assert next(found) == 1
        with pytest.raises(OSError, match="item 2"):
            next(found)
    assert len(draws.threads) == 2


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_whoever_leaves_early_leaves_no_thread_behind(error: type[BaseException]) -> None:
    draws = Draws(100)

    def leave() -> None:
        with prefetch(iter(draws)) as found:
            next(found)
            raise error

    with pytest.raises(error):
        leave()
    assert len(draws.threads) <= 2


def test_a_block_that_asks_for_nothing_makes_nothing() -> None:
    draws = Draws(3)
    with prefetch(iter(draws)):
        pass
    assert draws.threads == []
