"""The ClientApp: reads an instruction, hands it to whoever performs it, sends the reply. It sees no data.

For a SuperNode, `app` finds the trainer through `--node-config 'trainer="/run/concilium/trainer.sock"'`, or through
the environment variables CONCILIUM_TRAINER_SOCKET and CONCILIUM_TRAINER_KEY. Exceptions never travel: Flower would
send their text to the coordinator, and a text may name a patient.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from client.egress import Perform, answer
from client.trainer_link import START_IT, TrainerLink, TrainerUnavailableError, key_path, read_key
from strategies.errors import ConciliumError
from strategies.instruction import Instruction, Reply
from strategies.wire import claimed_kind, read_instruction, reply_content

logger = logging.getLogger(__name__)

SOCKET_VARIABLE, KEY_VARIABLE = "CONCILIUM_TRAINER_SOCKET", "CONCILIUM_TRAINER_KEY"


def build_client_app(perform: Perform) -> ClientApp:
    """A ClientApp that answers every kind of instruction with `perform`."""
    return build_client_app_per_node(lambda _context: perform)


def build_client_app_per_node(perform_at: Callable[[Context], Perform]) -> ClientApp:
    """A ClientApp that asks `perform_at`, for each message, who performs at the node it runs on."""
    client_app = ClientApp()

    @client_app.query()
    def query(message: Message, context: Context) -> Message:
        return _handled(perform_at, message, context)

    @client_app.train()
    def train(message: Message, context: Context) -> Message:
        return _handled(perform_at, message, context)

    @client_app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        return _handled(perform_at, message, context)

    return client_app


def _handled(perform_at: Callable[[Context], Perform], message: Message, context: Context) -> Message:
    reply = _reply(perform_at, message, context)
    try:
        return Message(reply_content(reply), reply_to=message)
    except ConciliumError as error:
        logger.exception("the reply to '%s' cannot be sent", reply.kind)
        return Message(reply_content(Reply(center="", kind=reply.kind, error=error.code)), reply_to=message)


def _reply(perform_at: Callable[[Context], Perform], message: Message, context: Context) -> Reply:
    try:
        instruction = read_instruction(message.content)
    except Exception:
        logger.exception("a message of type '%s' is no instruction", message.metadata.message_type)
        kind = claimed_kind(message.content, message.metadata.message_type)
        return Reply(center="", kind=kind, error="unreadable")

    def perform_here(instruction: Instruction) -> Reply:
        return perform_at(context)(instruction)

    return answer(perform_here, instruction)


def perform_with_trainer(context: Context) -> Perform:
    """The trainer beside this SuperNode.

    Raises:
        TrainerUnavailableError: neither the node's config nor the environment says where it listens, or its key
            cannot be read.
    """
    configured = context.node_config.get("trainer") or os.environ.get(SOCKET_VARIABLE)
    if not configured:
        raise TrainerUnavailableError(
            f"this SuperNode was not told where its trainer listens; give --node-config 'trainer=\"SOCKET\"' or set "
            f"{SOCKET_VARIABLE}, and if no trainer runs yet, {START_IT}"
        )
    socket_path = Path(str(configured))
    key = context.node_config.get("trainer-key") or os.environ.get(KEY_VARIABLE) or key_path(socket_path)
    return TrainerLink(socket_path, read_key(Path(str(key)))).perform


app = build_client_app_per_node(perform_with_trainer)
