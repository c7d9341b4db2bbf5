"""What comes in at the trainer's socket while the trainer works: the next instructions, and calls to cancel one.

One thread accepts and does nothing else; each connection has a thread of its own, in which the key is proven too, so
that nobody who is silent keeps others waiting (`client.service.callers`). `RequestQueue.next_job` hands instructions,
in the order they came, to the one thread that works. What may come is listed in `client.service.trainer_link`.
"""

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import AuthenticationError
from multiprocessing.connection import answer_challenge, deliver_challenge
from pathlib import Path
from queue import SimpleQueue

from client.service.callers import Caller, Callers, CrowdedError
from client.service.trainer_link import ASKER, CANCEL, CANCELLED, IDLE, MAXIMUM_FRAME_BYTES, MAXIMUM_NAME_BYTES
from protocol.errors import CancelledError

logger = logging.getLogger(__name__)

PAUSE_AFTER_REFUSAL_S = 0.1
SWEEP_EVERY_S = 1.0
LAST_WORDS_S = 5.0


class Job:
    """One instruction, as it came, on its way through the trainer."""

    def __init__(self, frame: bytes, asker: bytes) -> None:
        self.frame, self.asker = frame, asker
        self._cancelled = threading.Event()
        self._answers: SimpleQueue[bytes | None] = SimpleQueue()

    def check(self) -> None:
        """Nothing, as long as somebody waits for the answer.

        Raises:
            CancelledError: the asker cancelled it.
        """
        if self._cancelled.is_set():
            raise CancelledError("the work is cancelled: its run was stopped; nothing of it leaves")

    def cancel(self) -> None:
        """Let the next `check` raise."""
        self._cancelled.set()

    def answer(self, frame: bytes | None) -> None:
        """Hand the answer to whoever waits for it; None where there will be none."""
        self._answers.put(frame)

    def outcome(self) -> bytes | None:
        """Wait for the answer."""
        return self._answers.get()


class RequestQueue:
    """The open connections of one service and the jobs that wait or are under way.

    Args:
        listener: a socket that listens; only the thread of `accept_all` uses it.
        authkey: what a caller must prove to have.
        callers: who holds a connection.
    """

    def __init__(self, listener: socket.socket, authkey: bytes, callers: Callers) -> None:
        self._listener, self._authkey, self._callers = listener, authkey, callers
        self._arrived: SimpleQueue[Job] = SimpleQueue()
        self._lock = threading.Lock()
        self._jobs: set[Job] = set()
        self._closed = False

    def next_job(self) -> Job:
        """Wait for an instruction."""
        return self._arrived.get()

    def accept_all(self) -> None:
        """Take connections, each into a thread of its own, until `close`; every second, hang up on who is late."""
        self._listener.settimeout(SWEEP_EVERY_S)
        sweep_at = time.monotonic() + SWEEP_EVERY_S
        while not self._closed:
            try:
                with suppress(TimeoutError):
                    self._take(self._listener.accept()[0])
            except (OSError, RuntimeError, MemoryError) as error:
                if not self._closed:
                    logger.warning("connection refused: %s", error)
                    time.sleep(PAUSE_AFTER_REFUSAL_S)
            if time.monotonic() >= sweep_at:
                self._callers.sweep()
                sweep_at = time.monotonic() + SWEEP_EVERY_S

    def close(self) -> None:
        """Hang up on everybody; a job without an answer gets none."""
        with self._lock:
            self._closed = True
            for job in self._jobs:
                job.answer(None)
        self._callers.close()

    def _take(self, wire: socket.socket) -> None:
        """Listen to a new connection in a thread of its own.

        Raises:
            RuntimeError: the system has no thread to give.
        """
        caller = self._callers.welcome(wire)
        if self._closed:
            caller.hang_up()
        try:
            threading.Thread(target=self._listen, args=(caller,), name="trainer-connection", daemon=True).start()
        except RuntimeError:
            self._callers.leave(caller)
            raise

    def _listen(self, caller: Caller) -> None:
        """Answer what comes until the other side closes the connection, or we do."""
        try:
            self._greet(caller)
            self._converse(caller)
        except EOFError:
            logger.debug("connection closed")
        except (AuthenticationError, AssertionError) as error:
            self._callers.refuse(caller, f"another key ({error})")
        except CrowdedError as error:
            self._callers.refuse(caller, str(error))
        except (OSError, MemoryError) as error:
            self._callers.refuse(caller, f"connection lost ({error})")
        finally:
            self._callers.leave(caller)

    def _greet(self, caller: Caller) -> None:
        """See that both sides have the key; neither message is longer than 256 bytes."""
        deliver_challenge(caller.connection, self._authkey)
        answer_challenge(caller.connection, self._authkey)
        self._callers.recognise(caller)

    def _converse(self, caller: Caller) -> None:
        """Answer until the connection ends, which raises EOFError or OSError, or the service does."""
        connection, asker = caller.connection, b""
        while not self._closed:
            self._callers.expect(caller)
            frame = connection.recv_bytes(MAXIMUM_FRAME_BYTES)
            if frame.startswith(ASKER):
                asker = frame.removeprefix(ASKER)[:MAXIMUM_NAME_BYTES]
            elif frame.startswith(CANCEL):
                connection.send_bytes(self._cancel(frame.removeprefix(CANCEL)))
            elif not self._answer(caller, Job(frame, asker)):
                return

    def _answer(self, caller: Caller, job: Job) -> bool:
        """Wait for the answer to a job and send it; False where there is none."""
        self._callers.let_wait(caller)
        reply = self._outcome(job)
        if reply is not None:
            self._callers.expect(caller)
            caller.connection.send_bytes(reply)
        return reply is not None

    def _outcome(self, job: Job) -> bytes | None:
        with self._lock:
            if self._closed:
                return None
            self._jobs.add(job)
        self._arrived.put(job)
        try:
            return job.outcome()
        finally:
            with self._lock:
                self._jobs.discard(job)

    def _cancel(self, asker: bytes) -> bytes:
        with self._lock:
            cancelled = [job for job in self._jobs if job.asker == asker]
        for job in cancelled:
            job.cancel()
        logger.info("%d instruction(s) cancelled", len(cancelled))
        return CANCELLED if cancelled else IDLE


@contextmanager
def open_queue(listener: socket.socket, socket_path: Path, authkey: bytes) -> Iterator[RequestQueue]:
    """A queue that takes connections within."""
    request_queue = RequestQueue(listener, authkey, Callers())
    accepting = threading.Thread(target=request_queue.accept_all, name="trainer-accept", daemon=True)
    accepting.start()
    try:
        yield request_queue
    finally:
        request_queue.close()
        _knock(socket_path)
        accepting.join(LAST_WORDS_S)


def _knock(socket_path: Path) -> None:
    """Connect once, so that a thread which waits for a connection looks up; where many wait already, it does."""
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as caller:
        caller.connect(str(socket_path))
