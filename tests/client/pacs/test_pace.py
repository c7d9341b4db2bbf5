"""The rate limit, on a clock that the test moves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.pacs.pace import LONGEST_PAUSE_S, Pace


class Time:
    def __init__(self) -> None:
        self.now_s, self.slept_s = 0.0, 0.0

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now_s += seconds
        self.slept_s += seconds


def pace(rate: float | None) -> tuple[Pace, Time]:
    time = Time()
    return Pace(rate, clock=lambda: time.now_s, sleep=time.sleep), time


def test_an_object_of_two_megabytes_at_one_takes_two_seconds() -> None:
    limited, time = pace(1e6)
    time.now_s = 0.5
    limited.spend(2_000_000)
    assert time.slept_s == pytest.approx(1.5)


def test_an_idle_hour_is_no_credit_for_later_objects() -> None:
    limited, time = pace(1e6)
    time.now_s = 3600
    limited.spend(1_000_000)
    limited.spend(1_000_000)
    assert time.slept_s == pytest.approx(1.0)


def test_no_limit_never_waits() -> None:
    limited, time = pace(None)
    limited.spend(10**12)
    assert time.slept_s == 0


def test_a_pause_is_short_and_the_rest_is_waited_for_later() -> None:
    limited, time = pace(1e6)
    limited.spend(12_000_000)
    assert time.slept_s == LONGEST_PAUSE_S
    for _ in range(2):
        limited.spend(0)
    assert time.slept_s == pytest.approx(12)


@given(st.lists(st.tuples(st.integers(1, 4_000_000), st.floats(0, 0.1)), min_size=1, max_size=30))
def test_objects_never_come_faster_than_agreed(objects: list[tuple[int, float]]) -> None:
    limited, time = pace(1e6)
    total = 0
    for size, took_s in objects:
        time.now_s += took_s
        limited.spend(size)
        total += size
    # The idle time before one object may count as its own; here that is at most its transfer, which is real.
    assert time.now_s >= total / 1e6 * (1 - 1e-9)
