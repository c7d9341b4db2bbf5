"""The ClientApp: reads an instruction, hands it to whoever performs it, sends the reply. It sees no data.

For a SuperNode, `app` finds the trainer through `--node-config 'trainer="/run/concilium/trainer.sock"'`, or through
the environment variables CONCILIUM_TRAINER_SOCKET and CONCILIUM_TRAINER_KEY; it waits CONCILIUM_TRAINER_PATIENCE_S
seconds for one that is not there. Exceptions never travel: Flower would send their text to the coordinator, and a text
may name a patient. What the trainer answers is in the trainer's log; what this process answers itself is written to
`outgoing.jsonl` in the folder CONCILIUM_NODE_HOME before it is sent.
"""

import logging
import math
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from flwr.app import Context, Error, Message
from flwr.clientapp import ClientApp

from client.outgoing.outgoing_log import LOG, log_reply
from client.outgoing.sealed_reply import seal
from client.service.failure import Perform, perform_safely
from client.service.trainer_link import (
    START_IT,
    TrainerLink,
    TrainerUnavailableError,
    asker_of,
    key_path,
    read_key,
    try_patiently,
)
from protocol.errors import UNREADABLE, ConciliumError, StorageError
from protocol.flower_codec import claimed_kind, read_instruction, reply_content
from protocol.flower_internals import ErrorCode
from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply

logger = logging.getLogger(__name__)

SOCKET_VARIABLE, KEY_VARIABLE = "CONCILIUM_TRAINER_SOCKET", "CONCILIUM_TRAINER_KEY"
PATIENCE_VARIABLE, NODE_HOME_VARIABLE = "CONCILIUM_TRAINER_PATIENCE_S", "CONCILIUM_NODE_HOME"
PATIENCE_S = 300.0


def build_client_app(perform: Perform) -> ClientApp:
    """A ClientApp that answers every kind of instruction with `perform`."""
    return build_client_app_per_node(lambda _context: perform)


def build_client_app_per_node(perform_at: Callable[[Context], Perform]) -> ClientApp:
    """A ClientApp that asks `perform_at`, for each message, who performs at the node it runs on."""
    client_app = ClientApp()
    for register in (client_app.query(), client_app.train(), client_app.evaluate()):
        register(partial(_handle, perform_at))
    return client_app


def _handle(perform_at: Callable[[Context], Perform], message: Message, context: Context) -> Message:
    def perform_here(instruction: Instruction) -> Reply:
        return perform_at(context)(instruction)

    instruction = _read(message)
    if instruction is None:
        kind = claimed_kind(message.content, message.metadata.message_type)
        reply = Reply(center="", kind=kind, error=UNREADABLE)
    else:
        reply = perform_safely(perform_here, instruction)
    try:
        content = reply_content(reply)
    except ConciliumError as error:
        logger.exception("the reply to '%s' cannot be sent", reply.kind)
        reply = Reply(center="", kind=reply.kind, error=error.code)
        content = reply_content(reply)
    if reply.center or note_reply(reply, instruction):
        return Message(content, reply_to=message)
    return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION), reply_to=message)


def _read(message: Message) -> Instruction | None:
    try:
        return read_instruction(message.content)
    except Exception:
        logger.exception("a message of type '%s' is no instruction", message.metadata.message_type)
        return None


def note_reply(reply: Reply, instruction: Instruction | None) -> bool:
    """Whether a reply that no trainer has put its name to, and so none has logged, may be sent.

    It may once its line is on the disk, and where CONCILIUM_NODE_HOME names no folder for it.
    """
    home = os.environ.get(NODE_HOME_VARIABLE)
    if not home:
        return True
    try:
        log_reply(Path(home) / LOG, seal(reply), instruction)
    except StorageError as error:
        logger.error("%s", error)
        return False
    return True


def perform_with_trainer(context: Context) -> Perform:
    """The trainer beside this SuperNode.

    Raises:
        TrainerUnavailableError: neither the node's config nor the environment says where it listens, or its key
            cannot be read in time.
    """
    configured = context.node_config.get("trainer") or os.environ.get(SOCKET_VARIABLE)
    if not configured:
        raise TrainerUnavailableError(
            f"this SuperNode was not told where its trainer listens; give --node-config 'trainer=\"SOCKET\"' or set "
            f"{SOCKET_VARIABLE}, and if no trainer runs yet, {START_IT}"
        )
    key, asker = context.node_config.get("trainer-key"), asker_of(context.run_id)
    return trainer_at(Path(str(configured)), key, patience_s(), asker).perform


def trainer_at(socket_path: Path, key: object = None, patience_s: float = 0, asker: str = "") -> TrainerLink:
    """The trainer that listens at `socket_path`; its key is in the file `key`, the environment's, or beside it.

    Raises:
        TrainerUnavailableError: the key cannot be read within `patience_s` seconds.
    """
    path = Path(str(key or os.environ.get(KEY_VARIABLE) or key_path(socket_path)))
    authkey = try_patiently(lambda: read_key(path), patience_s)
    return TrainerLink(socket_path, authkey, patience_s=patience_s, asker=asker)


def patience_s() -> float:
    """How many seconds to wait for a trainer that is not there.

    Raises:
        TrainerUnavailableError: the environment names no number of seconds.
    """
    text = os.environ.get(PATIENCE_VARIABLE, "")
    try:
        seconds = float(text or PATIENCE_S)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < math.inf:
        raise TrainerUnavailableError(f"{PATIENCE_VARIABLE} is '{text}', expected a number of seconds, 0 or more")
    return seconds


app = build_client_app_per_node(perform_with_trainer)
