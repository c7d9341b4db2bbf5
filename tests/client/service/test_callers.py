"""Who may stay connected: by when each caller must have spoken, and who goes where there are too many."""

import math
import os
import socket
from collections.abc import Iterator

import pytest

from client.service import callers
from client.service.callers import FRAME_S, PROOF_S, Caller, Callers, CrowdedError


class Clock:
    """Shows the time that a test sets, in seconds."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def wires() -> Iterator[list[socket.socket]]:
    """The other ends of the connections made, closed afterwards."""
    found: list[socket.socket] = []
    yield found
    for wire in found:
        wire.close()


def taken(room: Callers, wires: list[socket.socket]) -> Caller:
    """A connection whose other end a test holds."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    wires.append(far)
    return room.welcome(near)


def gone(callers_: list[Caller]) -> list[int]:
    """The places of those that were hung up on."""
    return [place for place, caller in enumerate(callers_) if caller.ended]


def left(room: Callers, callers_: list[Caller]) -> None:
    for caller in callers_:
        room.leave(caller)


def test_a_stranger_has_ten_seconds_and_a_known_caller_ten_minutes(clock: Clock, wires: list[socket.socket]) -> None:
    room = Callers(clock)
    both = [taken(room, wires), taken(room, wires)]
    room.recognise(both[1])
    clock.now = PROOF_S
    room.sweep()
    assert gone(both) == [0]
    clock.now = FRAME_S
    room.sweep()
    assert gone(both) == [0, 1]
    left(room, both)


def test_bytes_that_come_slowly_buy_no_time(clock: Clock, wires: list[socket.socket]) -> None:
    room = Callers(clock)
    caller = taken(room, wires)
    for clock.now in range(int(PROOF_S) + 1):
        wires[0].send(b"x")
        room.sweep()
    assert caller.ended
    left(room, [caller])


def test_who_waits_for_an_answer_may_wait_for_days(clock: Clock, wires: list[socket.socket]) -> None:
    room = Callers(clock)
    caller = taken(room, wires)
    room.recognise(caller)
    room.let_wait(caller)
    clock.now = 1e6
    room.sweep()
    assert gone([caller]) == []
    room.expect(caller)
    clock.now += FRAME_S
    room.sweep()
    assert gone([caller]) == [0]
    left(room, [caller])


def test_a_process_with_many_strangers_loses_its_own(
    clock: Clock, wires: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three places the first is another process's: the fourth connection costs the second, not the oldest."""
    monkeypatch.setattr(callers, "STRANGERS", 3)
    processes = iter([1, 2, 2, 2])
    monkeypatch.setattr(callers, "_process_of", lambda _wire: next(processes))
    room = Callers(clock)
    found = [taken(room, wires) for _ in range(4)]
    assert gone(found) == [1]
    left(room, found)


def test_where_all_wait_for_an_answer_a_new_caller_is_refused(
    clock: Clock, wires: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "KNOWN", 1)
    room = Callers(clock)
    first, second = taken(room, wires), taken(room, wires)
    room.recognise(first)
    room.let_wait(first)
    with pytest.raises(CrowdedError, match="1 callers wait for an answer, more than 1 may not"):
        room.recognise(second)
    assert (first.ends_at, second.known) == (math.inf, False)
    left(room, [first, second])


def test_refusals_of_one_reason_are_one_line(
    clock: Clock, wires: list[socket.socket], caplog: pytest.LogCaptureFixture
) -> None:
    room = Callers(clock)
    found = [taken(room, wires) for _ in range(3)]
    for caller in found:
        room.refuse(caller, "another key")
    room.sweep()
    room.sweep()
    assert [record.getMessage() for record in caplog.records] == ["3 connection(s) refused: another key"]
    left(room, found)


def test_the_process_of_a_caller_is_known(wires: list[socket.socket], clock: Clock) -> None:
    room = Callers(clock)
    caller = taken(room, wires)
    assert caller.process == os.getpid()
    left(room, [caller])
