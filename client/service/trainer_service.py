"""The warm trainer's local service: a private socket whose instructions are performed one at a time.

The process stays up between rounds, so that imports, data and backbone are paid for once. Frames are
`protocol.socket_codec`; what cannot be read is answered with a code and the service goes on. The thread that calls
`serve` does the work, so that SIGTERM ends it; `request_queue` takes connections meanwhile, so that work can be
cancelled.
"""

import errno
import logging
import os
import secrets
import signal
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Protocol

from client.learning.cancellation import Check
from client.outgoing.sealed_reply import SealedReply
from client.service.failure import failure_reply
from client.service.request_queue import Job, open_queue
from protocol.errors import UNREADABLE, ConciliumError
from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from protocol.socket_codec import pack_reply, unpack_instruction
from protocol.storage.atomic_files import provide_private
from protocol.storage.regular_files import open_own

logger = logging.getLogger(__name__)

MAXIMUM_SOCKET_PATH_BYTES = 100
WAITING_CONNECTIONS = 16
OWNER_ONLY_UMASK, OTHERS = 0o177, 0o077
KEY_BYTES = 32
REMOVE = "find out who put it there and remove it, or choose a socket in a folder of this account's alone"


class Performer(Protocol):
    """What the service needs of a trainer."""

    def answer(self, instruction: Instruction, check: Check, /) -> SealedReply:
        """Do what the coordinator asks and seal what may leave; `check` raises when it is not wanted any more."""
        ...


class ServiceError(ConciliumError):
    """The socket cannot be opened as asked."""

    code = "trainer-service"


class _TerminatedError(BaseException):
    """SIGTERM arrived; derives from BaseException so that no handler of the trainer's takes it for a failure."""


def provide_key(path: Path) -> bytes:
    """The key at `path`, drawn when there is none yet, readable by this user alone.

    Raises:
        ServiceError: another account put one there, or others may read it.
        StorageError: the disk refuses.
    """
    if not os.path.lexists(path):
        provide_private(path, secrets.token_bytes(KEY_BYTES))
    try:
        with open_own(path) as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            key = file.read(KEY_BYTES + 1)
    except OSError as error:
        raise ServiceError(
            f"the key of the trainer's socket {path} cannot be used ({error.strerror}); {REMOVE}"
        ) from error
    if mode & OTHERS:
        raise ServiceError(
            f"the key of the trainer's socket {path} has mode {mode:04o}, expected 0600: others can give this trainer "
            f"work with it; {REMOVE}"
        )
    if len(key) != KEY_BYTES:
        raise ServiceError(
            f"the key of the trainer's socket {path} is not of {KEY_BYTES} bytes, as a trainer draws it; {REMOVE}"
        )
    return key


def serve(trainer: Performer, socket_path: Path, authkey: bytes) -> None:
    """Answer the instructions that come in on `socket_path`, in order, until SIGTERM or an interrupt.

    The socket has mode 0600 and is removed at the end. SIGTERM also ends a training under way.

    Raises:
        ServiceError: the path is too long, is no socket, or another trainer listens there.
    """
    _clear_stale(socket_path)
    try:
        with (
            _raise_on_sigterm(),
            _listen(socket_path) as listener,
            open_queue(listener, socket_path, authkey) as request_queue,
        ):
            logger.info("trainer listens at %s", socket_path)
            while True:
                job = request_queue.next_job()
                job.answer(_answer(trainer, job))
    except _TerminatedError:
        logger.info("trainer stops: SIGTERM")


def _answer(trainer: Performer, job: Job) -> bytes:
    try:
        instruction = unpack_instruction(job.frame)
    except Exception:
        logger.exception("a frame of %d bytes is no instruction", len(job.frame))
        return pack_reply(Reply(center="", kind="register", error=UNREADABLE))
    try:
        job.check()
        return trainer.answer(instruction, job.check).frame
    except Exception as failed:  # noqa: BLE001 -- `failure_reply` logs it; its text must not travel
        return pack_reply(failure_reply(failed, instruction))


@contextmanager
def _listen(socket_path: Path) -> Iterator[socket.socket]:
    """A socket that listens and that no other user can open; the mask is set first: there is no moment between."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        mask = os.umask(OWNER_ONLY_UMASK)
        try:
            listener.bind(str(socket_path))
        finally:
            os.umask(mask)
        listener.listen(WAITING_CONNECTIONS)
        try:
            yield listener
        finally:
            socket_path.unlink(missing_ok=True)


@contextmanager
def _raise_on_sigterm() -> Iterator[None]:
    """Only the main thread may set signal handlers; elsewhere SIGTERM keeps its meaning."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise _TerminatedError


def _clear_stale(socket_path: Path) -> None:
    """Remove a socket that a killed trainer left behind.

    Raises:
        ServiceError: the path is too long for a socket, is something else, or a trainer answers there.
    """
    if len(os.fsencode(socket_path)) > MAXIMUM_SOCKET_PATH_BYTES:
        raise ServiceError(
            f"socket path {socket_path} is longer than {MAXIMUM_SOCKET_PATH_BYTES} bytes, which sockets do not allow; "
            "choose a shorter one, for example under /run"
        )
    if not socket_path.exists():
        return
    if not socket_path.is_socket():
        raise ServiceError(f"{socket_path} exists and is no socket; choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        if probe.connect_ex(str(socket_path)) in {0, errno.EAGAIN}:
            raise ServiceError(f"a trainer already listens at {socket_path}; stop it or choose another path")
    socket_path.unlink()
