"""Messages to nodes and what comes back of them: who was asked what, and which reply answers which message.

An instruction may go out in several copies, when its center was lost and came back; whichever is answered first counts.
Flower answers for a node that is gone in its own name, so that a reply is known by the message it replies to.
"""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

from flwr.app import Message
from flwr.serverapp import Grid

from protocol.errors import TRAINER_UNAVAILABLE, UNREADABLE, PayloadError, StorageError, known_code
from protocol.flower_codec import message_type, read_reply, to_message_content
from protocol.messages.instruction import Instruction, Kind
from protocol.messages.reply import Reply
from protocol.messages.reply_findings import metrics_of, reply_findings
from protocol.messages.tensors import tensor_bytes
from protocol.packed_tensors import WIDEST, BlobBounds
from protocol.plain_text import shown
from server.grid.containment import contain
from server.grid.pulling import Pull

logger = logging.getLogger(__name__)

UNAVAILABLE, OTHER_CENTER = "node-unavailable", "other-center"
PASSING = frozenset({UNAVAILABLE, TRAINER_UNAVAILABLE, StorageError.code})
"""Errors of a center that may be gone soon: it is away, or its disk is full; it is asked the same again."""
Bounds = Callable[[str, Kind], BlobBounds]


def unbounded(_center: str, _kind: Kind) -> BlobBounds:
    """Of a grid that knows no study yet."""
    return WIDEST


def about(instruction: Instruction) -> str:
    """Stage and round that an instruction belongs to, for messages."""
    return f"{instruction.stage}/{instruction.server_round}"


@dataclass(frozen=True)
class Node:
    """A connected node; `activation` changes whenever it starts anew, and what it was working on is lost then."""

    node_id: int
    activation: str


@dataclass(frozen=True)
class Asked:
    """What an answer may hold: so many tensors of so many bytes, and figures of these names."""

    bounds: BlobBounds = WIDEST
    metrics: frozenset[str] = frozenset()


@dataclass(frozen=True)
class PendingMessage:
    """One message under way; `center` is empty until a nameless node has said whose it is.

    about: stage and round, for messages. expires_at: on the monotonic clock, when no answer can come any more.
    asked: what its answer may hold.
    """

    center: str
    node: Node
    kind: Kind
    bytes_down: int
    about: str
    expires_at: float
    asked: Asked = Asked()

    def is_copy_of(self, other: "PendingMessage") -> bool:
        """Whether both carry the same instruction to the same center, or to the same nameless node."""
        mine, theirs = self.center or self.node.node_id, other.center or other.node.node_id
        return (mine, self.kind, self.about) == (theirs, other.kind, other.about)


class Transport:
    """The way to the nodes and back.

    Args:
        grid: the way itself.
        pull: how replies are fetched.

    Attributes:
        bounds: how many tensors of how many bytes a center may answer with.
    """

    def __init__(self, grid: Grid, pull: Pull) -> None:
        self._grid, self._pull = grid, pull
        self.bounds: Bounds = unbounded

    def send(self, instruction: Instruction, center: str, node: Node, ttl_s: float) -> dict[str, PendingMessage]:
        """Send one message; it stands under its id in what is returned, or nothing where it could not be sent."""
        kind, belongs = instruction.kind, about(instruction)
        content = to_message_content(instruction)
        message = Message(content, node.node_id, message_type(kind), ttl=ttl_s, group_id=belongs)
        message_id = next(iter(self._grid.push_messages([message])), None)
        if not message_id:
            return {}
        sent = sum(map(tensor_bytes, (instruction.tensors, instruction.backbone, instruction.reference)))
        asked = Asked(self.bounds(center, kind), metrics_of(instruction.settings))
        return {message_id: PendingMessage(center, node, kind, sent, belongs, time.monotonic() + ttl_s, asked)}

    def receive(self, waiting: dict[str, PendingMessage]) -> list[tuple[PendingMessage, Reply]]:
        """The replies that are there now, each with its message, which leaves `waiting`."""
        found = []
        for message_id, incoming in self._pull(self._grid, list(waiting)) if waiting else ():
            message = waiting.pop(message_id, None)
            if message is not None:
                found.append((message, _reply_to(message, incoming)))
        return found


def withdraw(waiting: dict[str, PendingMessage], messages: Iterable[PendingMessage]) -> None:
    """Take all copies of `messages` out of `waiting`: whatever else is answered to them is not heard."""
    for message in messages:
        for message_id in [key for key, other in waiting.items() if other.is_copy_of(message)]:
            del waiting[message_id]


def _reply_to(message: PendingMessage, incoming: Message | None) -> Reply:
    """The reply in a message, with the name of the center that was asked; trouble becomes a code."""
    failed = Reply(center=message.center, kind=message.kind)
    if incoming is None:
        logger.error("center '%s' sent a reply that cannot be put together", message.center)
        return replace(failed, error=UNREADABLE)
    unreadable = partial(replace, failed, error=UNREADABLE)
    return contain(message.center, "read", partial(_read, message, incoming, failed), unreadable)


def _read(message: PendingMessage, incoming: Message, failed: Reply) -> Reply:
    """The reply in a message.

    Raises:
        PayloadError: it is not what was asked for, or larger.
    """
    if incoming.has_error():
        logger.warning("center '%s': Flower's error code %d", message.center, incoming.error.code)
        return replace(failed, error=UNAVAILABLE)
    reply = read_reply(incoming.content, message.asked.bounds)
    claimed = {reply.center} if reply.payload is None else {reply.center, reply.payload.center}
    if message.center and not claimed <= {"", message.center}:
        logger.error("center '%s' answers in the name of %s", message.center, sorted(claimed))
        return replace(failed, error=OTHER_CENTER)
    if reply.kind != message.kind and not reply.error:
        logger.error("center '%s' answers '%s' to '%s'", message.center, reply.kind, message.kind)
        return replace(failed, error=UNREADABLE)
    center = message.center or reply.center
    if reply.error:
        return Reply(center=center, kind=message.kind, error=_code(center, reply.error))
    _check(reply, message)
    payload = None if reply.payload is None else replace(reply.payload, center=center)
    return replace(reply, center=center, kind=message.kind, payload=payload)


def _code(center: str, error: str) -> str:
    code = known_code(error)
    if code != error:
        logger.warning(
            "center '%s' answers with the error %r, which is no code of ours: %s", center, shown(error), code
        )
    return code


def _check(reply: Reply, message: PendingMessage) -> None:
    """Refuse what nobody asked for.

    Raises:
        PayloadError: a figure that the study does not have, or one out of bounds.
    """
    if findings := list(reply_findings(reply, message.asked.metrics)):
        raise PayloadError("; ".join(findings))
