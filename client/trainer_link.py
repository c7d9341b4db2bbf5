"""The way from the ClientApp to the trainer beside it: one local socket, safetensors frames, never a pickle.

The ClientApp has the network and no data, the trainer has the data and no network; this socket is all they share.
"""

from dataclasses import replace
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client
from pathlib import Path

from strategies.errors import ConciliumError
from strategies.frames import pack_instruction, unpack_reply
from strategies.instruction import Instruction, Reply

MAXIMUM_FRAME_BYTES = 4 * 1024**3
START_IT = "start it with `concilium-center trainer`"


class TrainerUnavailableError(ConciliumError):
    """The trainer beside the ClientApp cannot be reached."""

    code = "trainer-unavailable"


def key_path(socket_path: Path) -> Path:
    """Where a trainer leaves the key of its socket: beside it, readable by its own user alone."""
    return socket_path.with_name(socket_path.name + ".key")


def read_key(path: Path) -> bytes:
    """The key that the trainer wrote when it started.

    Raises:
        TrainerUnavailableError: no such file, or not readable by this user.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise TrainerUnavailableError(
            f"the trainer's key {path} cannot be read ({error.strerror}); {START_IT} as the same user"
        ) from error


class TrainerLink:
    """One center's trainer, seen from the ClientApp; each instruction opens a connection of its own."""

    def __init__(self, socket_path: Path, authkey: bytes) -> None:
        self._socket_path = socket_path
        self._authkey = authkey

    def perform(self, instruction: Instruction) -> Reply:
        """Hand an instruction to the trainer and wait for its reply.

        An error code answers the kind that was asked: a trainer that cannot read the frame does not know it.

        Raises:
            TrainerUnavailableError: no trainer listens, it has another key, or it stopped before it replied.
            PayloadError: the reply is not a frame this version knows.
        """
        try:
            with Client(str(self._socket_path), family="AF_UNIX", authkey=self._authkey) as connection:
                connection.send_bytes(pack_instruction(instruction))
                reply = unpack_reply(connection.recv_bytes(MAXIMUM_FRAME_BYTES))
                return replace(reply, kind=instruction.kind) if reply.error else reply
        except AuthenticationError as error:
            raise TrainerUnavailableError(
                f"the trainer at {self._socket_path} has another key; give the ClientApp {key_path(self._socket_path)}"
            ) from error
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise TrainerUnavailableError(f"no trainer listens at {self._socket_path}; {START_IT}") from error
        except (EOFError, OSError) as error:
            raise TrainerUnavailableError(
                f"the trainer at {self._socket_path} stopped before it answered '{instruction.kind}' of stage "
                f"'{instruction.stage}', round {instruction.server_round} ({error}); read its log, then {START_IT}"
            ) from error
