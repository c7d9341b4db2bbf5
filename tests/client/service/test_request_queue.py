"""Jobs come in while another is under way, wait their turn, and can be cancelled by whoever asked for them alone.

Whoever connects and says nothing, half of something, or too much, keeps nobody else from being served.
"""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from multiprocessing.connection import Client, Connection
from pathlib import Path

import pytest

from client.service import callers
from client.service.request_queue import Job, RequestQueue, open_queue
from client.service.trainer_link import ASKER, CANCEL, CANCELLED, IDLE
from protocol.errors import CancelledError

KEY = b"key"


@pytest.fixture
def socket_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Short enough for a socket."""
    return tmp_path_factory.mktemp("s") / "t.sock"


@pytest.fixture
def queue(socket_path: Path) -> Iterator[RequestQueue]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(socket_path))
        listener.listen(16)
        with open_queue(listener, socket_path, KEY) as found:
            yield found


def serve_one(queue: RequestQueue, socket_path: Path) -> bytes:
    """What an honest caller gets, who connects now."""
    with connect(socket_path, b"honest") as honest:
        honest.send_bytes(b"work")
        queue.next_job().answer(b"done")
        return honest.recv_bytes()


def say(socket_path: Path, said: bytes) -> socket.socket:
    """A connection on which bytes were said, without the key; it stays open."""
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    found.connect(str(socket_path))
    found.sendall(said)
    return found


def greeters() -> int:
    """Threads that listen to a connection."""
    return sum(thread.name == "trainer-connection" for thread in threading.enumerate())


def connect(socket_path: Path, asker: bytes) -> "Connection[bytes, bytes]":
    """A connection of an asker who has said its name."""
    found = Client(str(socket_path), family="AF_UNIX", authkey=KEY)
    found.send_bytes(ASKER + asker)
    return found


def test_a_job_is_wanted_until_it_is_cancelled() -> None:
    job = Job(b"frame", b"asker")
    job.check()
    job.cancel()
    with pytest.raises(CancelledError, match="the work is cancelled: its run was stopped; nothing of it leaves"):
        job.check()


def test_an_answer_goes_back_to_its_asker(queue: RequestQueue, socket_path: Path) -> None:
    with connect(socket_path, b"1") as one, connect(socket_path, b"2") as two:
        one.send_bytes(b"first")
        first = queue.next_job()
        two.send_bytes(b"second")
        second = queue.next_job()
        assert [(job.asker, job.frame) for job in (first, second)] == [(b"1", b"first"), (b"2", b"second")]
        second.answer(b"to two")
        first.answer(b"to one")
        assert (one.recv_bytes(), two.recv_bytes()) == (b"to one", b"to two")


@pytest.mark.parametrize(("caller", "outcome"), [(b"1", CANCELLED), (b"2", IDLE)])
def test_only_the_asker_cancels(queue: RequestQueue, socket_path: Path, caller: bytes, outcome: bytes) -> None:
    with connect(socket_path, b"1") as one, connect(socket_path, b"2") as other:
        one.send_bytes(b"work")
        job = queue.next_job()
        other.send_bytes(CANCEL + caller)
        assert other.recv_bytes() == outcome
        job.answer(b"done")


def test_a_queue_that_closes_hangs_up(queue: RequestQueue, socket_path: Path) -> None:
    with connect(socket_path, b"1") as one:
        one.send_bytes(b"work")
        queue.next_job()
        queue.close()
        with pytest.raises((EOFError, ConnectionResetError)):
            one.recv_bytes()


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"", id="silence"),
        pytest.param(b"\0", id="one byte"),
        pytest.param(struct.pack("!i", 20) + b"half", id="half a frame"),
        pytest.param(struct.pack("!i", 2**31 - 1), id="a giant length"),
        pytest.param(struct.pack("!iQ", -1, 2**62), id="a giant long length"),
        pytest.param(struct.pack("!i", 16) + b"no challenge but", id="another digest"),
        pytest.param(struct.pack("!i", -7), id="a negative length"),
    ],
)
def test_a_stranger_keeps_nobody_out(queue: RequestQueue, socket_path: Path, said: bytes) -> None:
    with say(socket_path, said):
        assert serve_one(queue, socket_path) == b"done"


def test_many_silent_strangers_hold_few_threads_and_keep_nobody_out(queue: RequestQueue, socket_path: Path) -> None:
    with ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(say(socket_path, b""))
        assert serve_one(queue, socket_path) == b"done"
        assert greeters() <= 2 * callers.STRANGERS


def test_a_known_caller_that_is_silent_keeps_nobody_from_cancelling(queue: RequestQueue, socket_path: Path) -> None:
    with connect(socket_path, b"1"), connect(socket_path, b"2") as two, connect(socket_path, b"3") as three:
        two.send_bytes(b"work")
        job = queue.next_job()
        three.send_bytes(CANCEL + b"2")
        assert three.recv_bytes() == CANCELLED
        with pytest.raises(CancelledError):
            job.check()
        job.answer(None)


def test_silent_callers_with_the_key_make_room_for_others(
    queue: RequestQueue, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "KNOWN", 2)
    with connect(socket_path, b"1"), connect(socket_path, b"2"), connect(socket_path, b"3"):
        assert serve_one(queue, socket_path) == b"done"


def test_a_caller_that_does_not_prove_the_key_in_time_is_hung_up_on(
    queue: RequestQueue, socket_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(callers, "PROOF_S", 0.0)
    with say(socket_path, b"") as silent:
        challenge = silent.recv(1024)
        assert b"#CHALLENGE#" in challenge
        assert silent.recv(1024) == b""
    monkeypatch.undo()
    assert serve_one(queue, socket_path) == b"done"
    assert "1 connection(s) refused: did not prove the key in time" in caplog.text
