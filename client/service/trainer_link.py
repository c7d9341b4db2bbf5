"""The way from the ClientApp to the trainer beside it: one local socket, safetensors frames, never a pickle.

The ClientApp has the network and no data, the trainer has the data and no network; this socket is all they share.
A connection carries, each as one message:

    ASKER + name     whose instructions follow; not answered
    instruction      `protocol.socket_codec`; answered with a reply
    CANCEL + name    cancel what that asker waits for; answered with CANCELLED or IDLE
"""

import errno
import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from pathlib import Path
from typing import TypeVar

from protocol.errors import TRAINER_UNAVAILABLE, ConciliumError, SocketError
from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from protocol.socket_codec import pack_instruction, unpack_reply
from protocol.storage.private_socket import refuse_foreign
from protocol.storage.regular_files import open_own

logger = logging.getLogger(__name__)

MAXIMUM_FRAME_BYTES = 4 * 1024**3
MAXIMUM_NAME_BYTES = 64
MAXIMUM_KEY_BYTES = 1024
FOREIGN = {errno.EPERM, errno.ELOOP}
"""What `open_own` says of another account's file, and of a link."""
GREETING_S = 60.0
"""By when a trainer must have taken a connection and proven the key, however busy the machine is."""
# No safetensors frame starts like these: its first eight bytes are a length.
ASKER, CANCEL = b"concilium asker ", b"concilium cancel "
CANCELLED, IDLE = b"cancelled", b"idle"
START_IT = "start it with `concilium-center trainer`"
MAXIMUM_DEATHS = 3
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0

T = TypeVar("T")


class TrainerUnavailableError(ConciliumError):
    """The trainer beside the ClientApp cannot be reached."""

    code = TRAINER_UNAVAILABLE


class OtherKeyError(TrainerUnavailableError):
    """What is there has another key or is another account's: waiting will not help."""

    code = TrainerUnavailableError.code


class TrainerDiedError(TrainerUnavailableError):
    """The trainer was there and stopped before it answered."""

    code = TrainerUnavailableError.code


def asker_of(run_id: int) -> str:
    """The name under which a run's instructions are given to a trainer, and called off."""
    return f"run {run_id}"


def key_path(socket_path: Path) -> Path:
    """Where a trainer leaves the key of its socket: beside it, readable by its own user alone."""
    return socket_path.with_name(socket_path.name + ".key")


def read_key(path: Path) -> bytes:
    """The key that the trainer wrote when it started.

    Raises:
        TrainerUnavailableError: no such file, or not readable by this user; another account's (OtherKeyError).
    """
    try:
        with open_own(path) as file:
            return file.read(MAXIMUM_KEY_BYTES)
    except OSError as error:
        kind = OtherKeyError if error.errno in FOREIGN else TrainerUnavailableError
        raise kind(
            f"the trainer's key {path} cannot be read ({error.strerror}); {START_IT} as the same user"
        ) from error


class TrainerLink:
    """One center's trainer, seen from the ClientApp; each instruction opens a connection of its own.

    Args:
        socket_path: where the trainer listens.
        authkey: the key of its socket.
        patience_s: how long to wait, all in all, for a trainer that is not there or dies over an instruction; it is
            asked again then, which costs nothing that it had finished. 0 asks once.
        asker: what tells its instructions from others' beside the same trainer, and who may cancel them.
    """

    def __init__(self, socket_path: Path, authkey: bytes, *, patience_s: float = 0, asker: str = "") -> None:
        self._socket_path = socket_path
        self._authkey = authkey
        self._patience_s = patience_s
        self._asker = asker.encode()

    def perform(self, instruction: Instruction) -> Reply:
        """Hand an instruction to the trainer and wait for its reply.

        An error code answers the kind that was asked: a trainer that cannot read the frame does not know it.

        Raises:
            TrainerUnavailableError: no trainer listens, it has another key, or it stopped before it replied.
            PayloadError: the reply is not a frame this version knows.
        """
        return try_patiently(lambda: self._ask(instruction), self._patience_s)

    def cancel(self) -> bool:
        """Cancel what its asker waits for at the trainer, in whichever process; True where there was something.

        Only its own: a stopped run must not end the work of the next one.

        Raises:
            TrainerUnavailableError: as `perform`.
        """
        with self._connect("cancel") as connection:
            connection.send_bytes(CANCEL + self._asker)
            return connection.recv_bytes(len(CANCELLED)) == CANCELLED

    def _ask(self, instruction: Instruction) -> Reply:
        about = f"'{instruction.kind}' of stage '{instruction.stage}', round {instruction.server_round}"
        with self._connect(about) as connection:
            connection.send_bytes(ASKER + self._asker)
            connection.send_bytes(pack_instruction(instruction))
            reply = unpack_reply(connection.recv_bytes(MAXIMUM_FRAME_BYTES))
            return replace(reply, kind=instruction.kind) if reply.error else reply

    @contextmanager
    def _connect(self, about: str) -> "Iterator[Connection[bytes, bytes]]":
        """A connection of its own; what goes wrong on it is named."""
        try:
            with _open_connection(self._socket_path) as connection:
                with hang_up_after(connection, GREETING_S) as late:
                    _greet(connection, self._authkey, late)
                yield connection
        except (AuthenticationError, AssertionError) as error:
            raise OtherKeyError(
                f"the trainer at {self._socket_path} has another key; give the ClientApp {key_path(self._socket_path)}"
            ) from error
        except SocketError as error:
            raise OtherKeyError(f"no trainer is asked: {error}") from error
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise TrainerUnavailableError(f"no trainer listens at {self._socket_path}; {START_IT}") from error
        except (BlockingIOError, TimeoutError) as error:
            raise TrainerUnavailableError(
                f"what listens at {self._socket_path} did not take the connection within {GREETING_S:.0f} s; see "
                f"whether it is the trainer, read its log, then {START_IT}"
            ) from error
        except (EOFError, OSError) as error:
            raise TrainerDiedError(
                f"the trainer at {self._socket_path} stopped before it answered {about} ({error}); read its log, then "
                f"{START_IT}"
            ) from error


def try_patiently(attempt: Callable[[], T], patience_s: float) -> T:
    """What `attempt` gives, tried again while the trainer is not there.

    Only the waiting counts, not the work. A trainer that died more than MAXIMUM_DEATHS times over one instruction
    would die over it once more.

    Raises:
        TrainerUnavailableError: after `patience_s` seconds of waiting, that many deaths, or at once for another key.
    """
    waited_s, pause_s, deaths = 0.0, FIRST_PAUSE_S, 0
    while True:
        try:
            return attempt()
        except OtherKeyError:
            raise
        except TrainerUnavailableError as error:
            deaths += isinstance(error, TrainerDiedError)
            if waited_s >= patience_s or deaths > MAXIMUM_DEATHS:
                raise
            pause_s = min(pause_s, patience_s - waited_s)
            logger.warning("%s; trying again for %.0f s", error, patience_s - waited_s)
        time.sleep(pause_s)
        waited_s, pause_s = waited_s + pause_s, min(2 * pause_s, LONGEST_PAUSE_S)


def _open_connection(socket_path: Path) -> "Connection[bytes, bytes]":
    """A connection that nothing was said on yet.

    Raises:
        SocketError: another account has put the socket there.
        OSError: nobody listens, or nobody takes it in time (BlockingIOError).
    """
    refuse_foreign(socket_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _time_value(GREETING_S))
        wire.connect(str(socket_path))
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _time_value(0))
        return Connection(wire.detach())


def _time_value(seconds: float) -> bytes:
    """Seconds as the system's `timeval`; 0 is for ever."""
    return struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))


def _greet(connection: "Connection[bytes, bytes]", authkey: bytes, late: threading.Event) -> None:
    """See that both sides have the key; neither message is longer than 256 bytes.

    Raises:
        TimeoutError: we hung up, since it took too long.
    """
    try:
        answer_challenge(connection, authkey)
        deliver_challenge(connection, authkey)
    except (EOFError, OSError) as error:
        raise TimeoutError if late.is_set() else error from error


@contextmanager
def hang_up_after(connection: "Connection[bytes, bytes]", seconds: float) -> Iterator[threading.Event]:
    """End a connection unless the block ends in time; the event says whether it was ended."""
    late = threading.Event()

    def hang_up() -> None:
        late.set()
        with suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as wire:
            wire.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()
