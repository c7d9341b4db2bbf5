"""Messages to nodes and what comes back of them: who was asked what, and which reply answers which message.

An instruction may go out in several copies, when its center was lost and came back; whichever is answered first counts.
Flower answers for a node that is gone in its own name, so that a reply is known by the message it replies to.
"""

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

from flwr.app import Message
from flwr.serverapp import Grid

from protocol.errors import TRAINER_UNAVAILABLE, UNREADABLE, ConciliumError
from protocol.flower_codec import message_type, read_reply, to_message_content
from protocol.messages.instruction import Instruction, Kind
from protocol.messages.reply import Reply
from protocol.messages.tensors import tensor_bytes

logger = logging.getLogger(__name__)

UNAVAILABLE, OTHER_CENTER = "node-unavailable", "other-center"
PASSING = frozenset({UNAVAILABLE, TRAINER_UNAVAILABLE})


@dataclass(frozen=True)
class Node:
    """A connected node; `activation` changes whenever it starts anew, and what it was working on is lost then."""

    node_id: int
    activation: str


@dataclass(frozen=True)
class PendingMessage:
    """One message under way; `center` is empty until a nameless node has said whose it is.

    about: stage and round, for messages. expires_at: on the monotonic clock, when no answer can come any more.
    """

    center: str
    node: Node
    kind: Kind
    bytes_down: int
    about: str
    expires_at: float

    def is_copy_of(self, other: "PendingMessage") -> bool:
        """Whether both carry the same instruction to the same center, or to the same nameless node."""
        mine, theirs = self.center or self.node.node_id, other.center or other.node.node_id
        return (mine, self.kind, self.about) == (theirs, other.kind, other.about)


class Transport:
    """The way to the nodes and back."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid

    def send(self, instruction: Instruction, center: str, node: Node, ttl_s: float) -> dict[str, PendingMessage]:
        """Send one message; it stands under its id in what is returned, or nothing where it could not be sent."""
        about, kind = f"{instruction.stage}/{instruction.server_round}", instruction.kind
        content = to_message_content(instruction)
        message = Message(content, node.node_id, message_type(kind), ttl=ttl_s, group_id=about)
        message_id = next(iter(self._grid.push_messages([message])), None)
        if not message_id:
            return {}
        sent = sum(map(tensor_bytes, (instruction.tensors, instruction.backbone, instruction.reference)))
        return {message_id: PendingMessage(center, node, kind, sent, about, time.monotonic() + ttl_s)}

    def receive(self, waiting: dict[str, PendingMessage]) -> list[tuple[PendingMessage, Reply]]:
        """The replies that are there now, each with its message, which leaves `waiting`."""
        found = []
        for incoming in self._grid.pull_messages(list(waiting)) if waiting else ():
            message = waiting.pop(incoming.metadata.reply_to_message_id, None)
            if message is not None:
                found.append((message, _read(message, incoming)))
        return found


def withdraw(waiting: dict[str, PendingMessage], messages: Iterable[PendingMessage]) -> None:
    """Take all copies of `messages` out of `waiting`: whatever else is answered to them is not heard."""
    for message in messages:
        for message_id in [key for key, other in waiting.items() if other.is_copy_of(message)]:
            del waiting[message_id]


def _read(message: PendingMessage, incoming: Message) -> Reply:
    """The reply in a message, with the name of the center that was asked; trouble becomes a code."""
    failed = Reply(center=message.center, kind=message.kind)
    if incoming.has_error():
        logger.warning("center '%s': Flower's error code %d", message.center, incoming.error.code)
        return replace(failed, error=UNAVAILABLE)
    try:
        reply = read_reply(incoming.content)
    except ConciliumError:
        logger.exception("center '%s' sent a reply that cannot be read", message.center)
        return replace(failed, error=UNREADABLE)
    claimed = {reply.center} if reply.payload is None else {reply.center, reply.payload.center}
    if message.center and not claimed <= {"", message.center}:
        logger.error("center '%s' answers in the name of %s", message.center, sorted(claimed))
        return replace(failed, error=OTHER_CENTER)
    if reply.kind != message.kind and not reply.error:
        logger.error("center '%s' answers '%s' to '%s'", message.center, reply.kind, message.kind)
        return replace(failed, error=UNREADABLE)
    center = message.center or reply.center
    payload = None if reply.payload is None else replace(reply.payload, center=center)
    return replace(reply, center=center, kind=message.kind, payload=payload)
