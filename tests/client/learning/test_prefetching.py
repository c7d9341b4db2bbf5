"""Prefetching: the draws of a plain loop in its order, one ahead, and no thread left behind."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from client.learning.prefetching import prefetch


class Draws:
    """Counts its calls, each in a list of the thread that made it, and fails at one of them."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.threads: list[int] = []
        self.fails_at = fails_at

    def __call__(self) -> int:
        self.threads.append(threading.get_ident())
        if len(self.threads) == self.fails_at:
            raise OSError(f"call {self.fails_at}")
        return len(self.threads)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def test_draws_are_those_of_a_plain_loop() -> None:
    ahead, plain = np.random.default_rng(0), np.random.default_rng(0)
    with prefetch(lambda: ahead.random(3).tolist(), 5) as found:
        assert list(found) == [plain.random(3).tolist() for _ in range(5)]
    assert ahead.random() == plain.random()


@pytest.mark.parametrize("count", [0, 1, 4])
def test_as_many_calls_as_asked_for_all_in_one_other_thread(count: int) -> None:
    draws = Draws()
    with prefetch(draws, count) as found:
        assert list(found) == list(range(1, count + 1))
    assert len(draws.threads) == count
    assert len(set(draws.threads) - {threading.get_ident()}) == min(1, count)


def test_one_batch_is_made_ahead_while_another_is_used() -> None:
    """The second call begins although the first one's result is still in use; the third waits for it."""
    begun = [threading.Event() for _ in range(4)]
    calls = iter(begun)
    with prefetch(lambda: next(calls).set(), 4) as found:
        next(found)
        assert begun[1].wait(10)
        assert not begun[2].wait(0.05)
        assert len(list(found)) == 3


def test_an_error_of_a_call_is_raised_where_its_batch_is_asked_for_and_ends_the_calls() -> None:
    draws = Draws(fails_at=2)
    with prefetch(draws, 5) as found:
        assert next(found) == 1
        with pytest.raises(OSError, match="call 2"):
            next(found)
    assert len(draws.threads) == 2


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_whoever_leaves_early_leaves_no_thread_and_no_call_behind(error: type[BaseException]) -> None:
    draws = Draws()

    def leave() -> None:
        with prefetch(draws, 100) as found:
            next(found)
            raise error

    with pytest.raises(error):
        leave()
    assert len(draws.threads) <= 2
