"""Writes that follow each other closely become one, and the last is never left out."""

from collections.abc import Callable
from typing import Any

import pytest

from server.runs.paced_writes import PacedWrites


class Hand:
    """A clock and timers that the test moves by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.set: list[Any] = []

    def timer(self, seconds: float, ring: Callable[[], None]) -> Any:
        made = _Timer(seconds, ring)
        self.set.append(made)
        return made


class _Timer:
    def __init__(self, seconds: float, ring: Callable[[], None]) -> None:
        self.seconds, self.ring, self.started, self.cancelled = seconds, ring, False, False

    def start(self) -> None:
        self.started = True

    def cancel(self) -> None:
        self.cancelled = True


@pytest.fixture
def hand() -> Hand:
    return Hand()


def paced(hand: Hand, written: list[float], pause_s: float) -> PacedWrites:
    return PacedWrites(lambda: written.append(hand.now), lambda: pause_s, lambda: hand.now, hand.timer)


def test_without_a_pause_each_is_written_at_once(hand: Hand) -> None:
    written: list[float] = []
    writes = paced(hand, written, 0)
    for _ in range(3):
        writes.write_soon()
    assert (written, hand.set) == ([0, 0, 0], [])


def test_a_thousand_within_a_pause_are_two_writes_and_the_second_comes_by_the_timer(hand: Hand) -> None:
    written: list[float] = []
    writes = paced(hand, written, 3)
    for _ in range(1000):
        writes.write_soon()
    assert (written, [timer.seconds for timer in hand.set]) == ([0], [3])
    hand.now = 3
    hand.set[0].ring()
    assert written == [0, 3]


def test_what_must_be_written_now_takes_along_what_waits(hand: Hand) -> None:
    written: list[float] = []
    writes = paced(hand, written, 3)
    writes.write_soon()
    writes.write_soon()
    hand.now = 1
    writes.write_now()
    assert (written, hand.set[0].cancelled) == ([0, 1], True)
    hand.set[0].ring()  # it was about to ring when it was cancelled
    assert written == [0, 1]
