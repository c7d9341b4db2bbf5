"""The centers as the round loop sees them: one instruction to each by name, replies as they arrive.

Works over any Flower `Grid`: SuperLink, Ray or in-process. A node belongs to the center whose name it was registered
with; where nodes are nameless (Ray), the reply to a `register` instruction names it. Never by what a later reply says.
A message that missed its deadline stays known until its time to live ends: its answer is handed on apart, as late.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from flwr.app import DEFAULT_TTL, Message
from flwr.serverapp import Grid

from strategies.errors import ConciliumError, QuorumError
from strategies.instruction import Instruction, Kind, Reply
from strategies.wire import message_type, read_reply, tensor_bytes, to_message_content

logger = logging.getLogger(__name__)

OnReply = Callable[[str, Reply, int, int], None]
OnLate = Callable[[str, Reply], None]
UNAVAILABLE, UNREADABLE, OTHER_CENTER = "node-unavailable", "unreadable", "other-center"


class FleetError(ConciliumError):
    """The connected nodes cannot be told apart as centers."""

    code = "fleet"


@dataclass(frozen=True)
class _Asked:
    """One message under way; `center` is empty until a nameless node has said whose it is.

    about: stage and round, for messages. expires_at: on the monotonic clock, when no answer can come any more.
    """

    center: str
    node_id: int
    kind: Kind
    bytes_down: int
    about: str
    expires_at: float


class Fleet:
    """The centers connected to one run.

    Args:
        grid: the way to the nodes.
        poll_s: pause after a look for replies that found none; a grid that answers at once never pauses.
    """

    def __init__(self, grid: Grid, *, poll_s: float = 1.0) -> None:
        self._grid = grid
        self._poll_s = poll_s
        self._overdue: dict[str, _Asked] = {}
        self._names: dict[int, str] = {}

    def centers(self) -> dict[str, int]:
        """Flower's node id of every named center that is connected now, by center in name order.

        Raises:
            FleetError: two connected nodes have one center's name.
        """
        return _by_center(self._connected())

    def connected(self) -> tuple[str, ...]:
        """The names of the centers connected now, sorted.

        Raises:
            FleetError: two connected nodes have one center's name.
        """
        return tuple(self.centers())

    def register(
        self,
        instruction: Instruction,
        *,
        deadline_s: float,
        expected: Collection[str] = (),
        quorum: int | None = None,
        on_late: OnLate | None = None,
    ) -> dict[str, Reply]:
        """Ask nodes to introduce themselves; those that connect meanwhile are asked too.

        Args:
            instruction: of kind `register`.
            deadline_s: seconds to wait at most.
            expected: centers to wait for; nodes with other names are left alone. Empty means all nodes that are
                connected at the first look.
            quorum: fewest centers that must have answered without error by the deadline; None asks for none.
            on_late: as in `ask`.

        Returns:
            The reply of each center that answered, by center.

        Raises:
            FleetError: two nodes introduce themselves as one center.
            QuorumError: fewer than `quorum` answered without error by the deadline.
        """
        replies: dict[str, Reply] = {}
        asked: set[int] = set()
        waiting: dict[str, _Asked] = {}
        ends_at = time.monotonic() + deadline_s
        while True:
            for node_id, name in self._connected().items():
                wanted = node_id not in asked and (not expected or name in {"", *expected})
                if wanted and self._push(waiting, instruction, name, node_id, deadline_s):
                    asked.add(node_id)
            arrived = self._pull(waiting)
            for question, reply in arrived:
                self._introduce(question, reply)
                if reply.center:
                    replies[reply.center] = reply
            done = set(expected) <= set(replies) if expected else not waiting
            if done or time.monotonic() >= ends_at:
                self._hear_late(on_late)
                self._overdue |= waiting
                _check_quorum(replies, expected, quorum, deadline_s)
                return replies
            if not arrived:
                self._hear_late(on_late)
                self._pause(ends_at)

    def ask(
        self,
        instructions: Mapping[str, Instruction],
        *,
        deadline_s: float,
        on_reply: OnReply | None = None,
        on_late: OnLate | None = None,
    ) -> dict[str, Reply]:
        """Send each center its instruction and collect replies until all are there or the deadline has passed.

        A center that connects only after the instructions were sent is not asked by this call.

        Args:
            instructions: one a center; they are sent in this order.
            deadline_s: seconds to wait at most; what arrives later is heard by later calls as late.
            on_reply: called for each reply with center, reply, tensor bytes sent and tensor bytes received.
            on_late: called once for each answer that arrived meanwhile to a message of an earlier call that missed its
                deadline, with center and reply; such an answer is never among the replies of this call.

        Returns:
            The replies that arrived, by center. A center that is not connected or vanished has the error
            `node-unavailable`, one that answers in another's name `other-center`, with something else `unreadable`.
        """
        replies: dict[str, Reply] = {}
        waiting: dict[str, _Asked] = {}
        nodes = self.centers()
        for center, instruction in instructions.items():
            if not self._push(waiting, instruction, center, nodes.get(center), deadline_s):
                _take(replies, on_reply, center, Reply(center=center, kind=instruction.kind, error=UNAVAILABLE), 0)
        ends_at = time.monotonic() + deadline_s
        self._hear_late(on_late)
        while waiting and time.monotonic() < ends_at:
            arrived = self._pull(waiting)
            for question, reply in arrived:
                _take(replies, on_reply, question.center, reply, question.bytes_down)
            if not arrived:
                self._hear_late(on_late)
                self._pause(ends_at)
        for question in waiting.values():
            logger.warning(
                "center '%s' did not answer '%s' (%s) within %g s; a later answer does not count",
                question.center,
                question.kind,
                question.about,
                deadline_s,
            )
        self._overdue |= waiting
        return replies

    def _hear_late(self, on_late: OnLate | None) -> None:
        """Hand on what has arrived for messages that missed their deadline, and forget those that expired."""
        for question, reply in self._pull(self._overdue):
            center = question.center or reply.center
            logger.warning(
                "center '%s' answered '%s' (%s) after the deadline%s; the answer is put aside",
                center,
                question.kind,
                question.about,
                f" with error '{reply.error}'" if reply.error else "",
            )
            self._introduce_late(question, reply)
            if on_late is not None:
                on_late(center, reply)
        now = time.monotonic()
        self._overdue = {key: question for key, question in self._overdue.items() if question.expires_at > now}

    def _introduce_late(self, question: _Asked, reply: Reply) -> None:
        """As `_introduce`; a second node of one center is left nameless, since a round is under way."""
        try:
            if question.kind == "register":
                self._introduce(question, reply)
        except FleetError:
            logger.exception("node %d is not taken for center '%s'", question.node_id, reply.center)

    def _connected(self) -> dict[int, str]:
        """Center name of every connected node by node id; empty for a nameless one that has not registered."""
        return {node.node_id: node.name or self._names.get(node.node_id, "") for node in self._grid.get_nodes()}

    def _introduce(self, question: _Asked, reply: Reply) -> None:
        """Remember whose node a nameless one is."""
        if question.center:
            return
        if not reply.center:
            logger.warning("node %d did not say whose it is (%s)", question.node_id, reply.error or "no name")
            return
        _by_center({**self._connected(), question.node_id: reply.center})
        self._names[question.node_id] = reply.center

    def _push(
        self, waiting: dict[str, _Asked], instruction: Instruction, center: str, node_id: int | None, deadline_s: float
    ) -> bool:
        """Send one message and note it in `waiting`; False where the node is not there to take it."""
        if node_id is None:
            return False
        about, ttl = f"{instruction.stage}/{instruction.server_round}", max(DEFAULT_TTL, 2 * deadline_s)
        content, kind = to_message_content(instruction), instruction.kind
        message = Message(content, node_id, message_type(kind), ttl=ttl, group_id=about)
        message_id = next(iter(self._grid.push_messages([message])), None)
        if not message_id:
            return False
        sent = sum(map(tensor_bytes, (instruction.tensors, instruction.backbone, instruction.reference)))
        waiting[message_id] = _Asked(center, node_id, kind, sent, about, time.monotonic() + ttl)
        return True

    def _pull(self, waiting: dict[str, _Asked]) -> list[tuple[_Asked, Reply]]:
        """The replies that are there now, each with its question, which leaves `waiting`."""
        arrived = []
        for message in self._grid.pull_messages(list(waiting)) if waiting else ():
            question = waiting.pop(message.metadata.reply_to_message_id, None)
            if question is not None:
                arrived.append((question, _read(question, message)))
        return arrived

    def _pause(self, ends_at: float) -> None:
        time.sleep(max(0.0, min(self._poll_s, ends_at - time.monotonic())))


def _by_center(names: Mapping[int, str]) -> dict[str, int]:
    """Turn node id -> name round; nameless nodes are left out.

    Raises:
        FleetError: a name stands at more than one node.
    """
    twice = {name: count for name, count in Counter(names.values()).items() if name and count > 1}
    if twice:
        raise FleetError(
            f"center(s) {sorted(twice)} are connected by more than one node; each center has one name and one key: "
            "stop the second node or register it under its own name"
        )
    return {name: node_id for node_id, name in sorted(names.items(), key=lambda item: item[1]) if name}


def _check_quorum(
    replies: Mapping[str, Reply], expected: Collection[str], quorum: int | None, deadline_s: float
) -> None:
    usable = [center for center, reply in replies.items() if not reply.error]
    if quorum is not None and len(usable) < quorum:
        silent = ", ".join(sorted(set(expected) - set(usable))) or "none known by name"
        raise QuorumError(
            f"{len(usable)} center(s) registered within {deadline_s:g} s, quorum is {quorum}; missing: {silent}. Start "
            "their nodes or correct their data, then run the study again"
        )


def _take(replies: dict[str, Reply], on_reply: OnReply | None, center: str, reply: Reply, bytes_down: int) -> None:
    replies[center] = reply
    if on_reply is not None:
        on_reply(center, reply, bytes_down, 0 if reply.payload is None else tensor_bytes(reply.payload.tensors))


def _read(question: _Asked, message: Message) -> Reply:
    """The reply in a message, with the name of the center that was asked; trouble becomes a code."""
    failed = Reply(center=question.center, kind=question.kind)
    if message.has_error():
        logger.warning("center '%s': Flower's error code %d", question.center, message.error.code)
        return replace(failed, error=UNAVAILABLE)
    try:
        reply = read_reply(message.content)
    except ConciliumError:
        logger.exception("center '%s' sent a reply that cannot be read", question.center)
        return replace(failed, error=UNREADABLE)
    claimed = {reply.center} if reply.payload is None else {reply.center, reply.payload.center}
    if question.center and not claimed <= {"", question.center}:
        logger.error("center '%s' answers in the name of %s", question.center, sorted(claimed))
        return replace(failed, error=OTHER_CENTER)
    if reply.kind != question.kind and not reply.error:
        logger.error("center '%s' answers '%s' to '%s'", question.center, reply.kind, question.kind)
        return replace(failed, error=UNREADABLE)
    center = question.center or reply.center
    payload = None if reply.payload is None else replace(reply.payload, center=center)
    return replace(reply, center=center, kind=question.kind, payload=payload)
