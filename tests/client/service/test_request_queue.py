"""Jobs come in while another is under way, wait their turn, and can be cancelled by whoever asked for them alone."""

from collections.abc import Iterator
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path

import pytest

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
    with (
        Listener(str(socket_path), family="AF_UNIX", authkey=KEY) as listener,
        open_queue(listener, socket_path) as found,
    ):
        yield found


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
