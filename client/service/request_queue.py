"""What comes in at the trainer's socket while the trainer works: the next instructions, and calls to cancel one.

One thread accepts, one listens to each connection; `RequestQueue.next_job` hands instructions, in the order they
came, to the one thread that works. What may come is listed in `client.service.trainer_link`.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from queue import SimpleQueue

from client.service.trainer_link import ASKER, CANCEL, CANCELLED, IDLE, MAXIMUM_FRAME_BYTES
from protocol.errors import CancelledError

logger = logging.getLogger(__name__)

PAUSE_AFTER_REFUSAL_S = 0.1
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
    """The open connections of one service and the jobs that wait or are under way."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._arrived: SimpleQueue[Job] = SimpleQueue()
        self._lock = threading.Lock()
        self._jobs: set[Job] = set()
        self._open: set[Connection[bytes, bytes]] = set()
        self._closed = False

    def next_job(self) -> Job:
        """Wait for an instruction."""
        return self._arrived.get()

    def accept_all(self) -> None:
        """Take connections, each into a thread of its own, until `close`."""
        while not self._closed:
            try:
                connection = self._listener.accept()
            except (AuthenticationError, EOFError, OSError) as error:
                if not self._closed:
                    logger.warning("connection refused: %s", error)
                    time.sleep(PAUSE_AFTER_REFUSAL_S)
                continue
            threading.Thread(target=self._listen, args=(connection,), name="trainer-connection", daemon=True).start()

    def close(self) -> None:
        """Hang up on everybody; a job without an answer gets none."""
        with self._lock:
            self._closed = True
            for connection in self._open:
                _hang_up(connection)
            for job in self._jobs:
                job.answer(None)

    def _listen(self, connection: "Connection[bytes, bytes]") -> None:
        """Answer what comes until the other side closes the connection, or we do."""
        with connection:
            with self._lock:
                if self._closed:
                    return
                self._open.add(connection)
            try:
                self._converse(connection)
            except EOFError:
                logger.debug("connection closed")
            except OSError as error:
                logger.warning("connection lost: %s", error)
            finally:
                with self._lock:
                    self._open.discard(connection)

    def _converse(self, connection: "Connection[bytes, bytes]") -> None:
        """Answer until the connection ends, which raises EOFError or OSError, or the service does."""
        asker = b""
        while True:
            frame = connection.recv_bytes(MAXIMUM_FRAME_BYTES)
            if frame.startswith(ASKER):
                asker = frame.removeprefix(ASKER)
            elif frame.startswith(CANCEL):
                connection.send_bytes(self._cancel(frame.removeprefix(CANCEL)))
            elif (reply := self._outcome(Job(frame, asker))) is None:
                return
            else:
                connection.send_bytes(reply)

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
def open_queue(listener: Listener, socket_path: Path) -> Iterator[RequestQueue]:
    """A queue that takes connections within."""
    request_queue = RequestQueue(listener)
    accepting = threading.Thread(target=request_queue.accept_all, name="trainer-accept", daemon=True)
    accepting.start()
    try:
        yield request_queue
    finally:
        request_queue.close()
        _knock(socket_path)
        accepting.join(LAST_WORDS_S)


def _knock(socket_path: Path) -> None:
    """Connect once, so that a thread which waits for a connection looks up."""
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.connect(str(socket_path))


def _hang_up(connection: "Connection[bytes, bytes]") -> None:
    """End a connection that another thread reads from; closing alone would leave that thread waiting."""
    with suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as wire:
        wire.shutdown(socket.SHUT_RDWR)
