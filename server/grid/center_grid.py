"""The centers as the round loop sees them: one instruction to each by name, replies as they arrive.

Works over any Flower `Grid`: SuperLink, Ray or in-process. A node belongs to the center whose name it was registered
with; where nodes are nameless (Ray), the reply to a `register` instruction names it. Never by what a later reply says.
A message that missed its deadline stays known until its time to live ends: its answer is handed on apart, as late.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping

from flwr.app import DEFAULT_TTL
from flwr.serverapp import Grid

from protocol.errors import ConciliumError
from protocol.flower_codec import tensor_bytes
from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from server.grid.registration import Registration
from server.grid.request_batch import RequestBatch
from server.grid.retry_policy import RetryPolicy
from server.grid.transport import Node, PendingMessage, Transport, withdraw

logger = logging.getLogger(__name__)

OnReply = Callable[[str, Reply, int, int], None]
OnLate = Callable[[str, Reply], None]
LONGEST_LOOK_S, LOOKS = 5.0, 20


class GridError(ConciliumError):
    """The connected nodes cannot be told apart as centers."""

    code = "center_grid"


class CenterGrid:
    """The centers connected to one run.

    Args:
        grid: the way to the nodes.
        poll_s: pause after a look for replies that found none; a grid that answers at once never pauses.
        patience_s: how long, within a deadline, a center that is not connected or whose trainer is away is waited for
            and then asked the same again; 0 takes it for gone at once, as on one machine, where nobody comes back.
    """

    def __init__(self, grid: Grid, *, poll_s: float = 0.5, patience_s: float = 0.0) -> None:
        self._grid, self._transport = grid, Transport(grid)
        self._poll_s, self._patience_s = poll_s, patience_s
        self._overdue: dict[str, PendingMessage] = {}
        self._names: dict[int, str] = {}

    def centers(self) -> dict[str, int]:
        """Flower's node id of every named center that is connected now, by center in name order.

        Raises:
            GridError: two connected nodes have one center's name.
        """
        return {center: node.node_id for center, node in self._nodes().items()}

    def connected(self) -> tuple[str, ...]:
        """The names of the centers connected now, sorted.

        Raises:
            GridError: two connected nodes have one center's name.
        """
        return tuple(self._nodes())

    def idle(self) -> tuple[str, ...]:
        """The centers connected now that are not at work on a message that missed its deadline, sorted.

        Raises:
            GridError: two connected nodes have one center's name.
        """
        at_work = {question.node for question in self._overdue.values()}
        return tuple(center for center, node in self._nodes().items() if node not in at_work)

    def register(
        self,
        instruction: Instruction,
        *,
        deadline_s: float,
        expected: Collection[str],
        enough: int | None = None,
        on_late: OnLate | None = None,
    ) -> dict[str, Reply]:
        """Ask nodes to introduce themselves; those that connect meanwhile are asked too.

        Args:
            instruction: of kind `register`.
            deadline_s: seconds to wait at most.
            expected: centers to wait for; nodes with other names are left alone.
            enough: once the patience of this center_grid is over, so many answers without error end the wait before the
                deadline; None, or a center_grid without patience, waits for all `expected`.
            on_late: as in `ask`.

        Returns:
            The reply of each center that answered, by center.

        Raises:
            GridError: two nodes introduce themselves as one center.
        """
        replies: dict[str, Reply] = {}
        waiting: dict[str, PendingMessage] = {}
        started = time.monotonic()
        welcome = Registration(instruction, expected, RetryPolicy(self._patience_s), _time_to_live(deadline_s))
        while True:
            welcome.invite(self._transport, self._seen(), waiting)
            arrived = self._transport.arrived(waiting)
            for question, reply in welcome.accepted(arrived, waiting):
                self._introduce(question, reply)
                if reply.center:
                    replies[reply.center] = reply
            passed = time.monotonic() - started
            done = set(expected) <= set(replies)
            if 0 < self._patience_s <= passed and enough is not None:
                done = done or sum(not reply.error for reply in replies.values()) >= enough
            if done or passed >= deadline_s:
                self._hear_late(on_late)
                self._overdue |= waiting
                return replies
            if not arrived:
                self._hear_late(on_late)
                self._pause(started + deadline_s)

    def ask(
        self,
        instructions: Mapping[str, Instruction],
        *,
        deadline_s: float,
        on_reply: OnReply | None = None,
        on_late: OnLate | None = None,
    ) -> dict[str, Reply]:
        """Send each center its instruction and collect replies until all are there or the deadline has passed.

        A center that is lost is sent its instruction again when it is back, within the center_grid's patience; without
        patience, a center that connects only after the instructions were sent is not asked by this call.

        Args:
            instructions: one a center; they are sent in this order.
            deadline_s: seconds to wait at most; what arrives later is heard by later calls as late.
            on_reply: called once for each center that is through with center, reply, tensor bytes sent (all copies)
                and tensor bytes received.
            on_late: called once for each answer that arrived meanwhile to a message of an earlier call that missed its
                deadline, with center and reply; such an answer is never among the replies of this call.

        Returns:
            The replies that arrived, by center. A center that is not connected or vanished has the error
            `node-unavailable`, one that answers in another's name `other-center`, with something else `unreadable`.
        """
        replies: dict[str, Reply] = {}
        ttl_s = _time_to_live(deadline_s)
        batch = RequestBatch(self._transport, instructions, patience_s=self._patience_s, ttl_s=ttl_s)
        batch.look(self._nodes())
        now = time.monotonic()
        ends_at, looks_at = now + deadline_s, now + self._look_s
        self._hear_late(on_late)
        while batch.open and time.monotonic() < ends_at:
            through = batch.taken()
            for center, reply in through:
                _take(replies, on_reply, center, reply, batch.bytes_down[center])
            if not through:
                self._hear_late(on_late)
                self._pause(ends_at)
            if self._patience_s and time.monotonic() >= looks_at:
                batch.look(self._nodes())
                looks_at = time.monotonic() + self._look_s
        for center, reply in batch.end():
            _take(replies, on_reply, center, reply, batch.bytes_down[center])
        _name_the_late(batch, instructions, deadline_s)
        self._overdue |= batch.waiting | batch.left
        return replies

    @property
    def _look_s(self) -> float:
        """Seconds between two looks for centers that are back."""
        return min(LONGEST_LOOK_S, self._patience_s / LOOKS)

    def _hear_late(self, on_late: OnLate | None) -> None:
        """Hand on what has arrived for messages that missed their deadline, and forget those that expired."""
        for question, reply in self._transport.arrived(self._overdue):
            center = question.center or reply.center
            logger.warning(
                "center '%s' answered '%s' (%s) after the deadline%s; the answer is put aside",
                center,
                question.kind,
                question.about,
                f" with error '{reply.error}'" if reply.error else "",
            )
            if not reply.error:
                withdraw(self._overdue, [question])
            self._introduce_late(question, reply)
            if on_late is not None:
                on_late(center, reply)
        now = time.monotonic()
        self._overdue = {key: question for key, question in self._overdue.items() if question.expires_at > now}

    def _introduce_late(self, question: PendingMessage, reply: Reply) -> None:
        """As `_introduce`; a second node of one center is left nameless, since a round is under way."""
        try:
            if question.kind == "register":
                self._introduce(question, reply)
        except GridError:
            logger.exception("node %d is not taken for center '%s'", question.node.node_id, reply.center)

    def _seen(self) -> dict[Node, str]:
        """The center's name of every connected node; empty for a nameless one that has not registered.

        Without patience nobody is asked twice, and it does not matter when a node started.
        """
        return {
            Node(node.node_id, node.last_activated_at if self._patience_s else ""): node.name
            or self._names.get(node.node_id, "")
            for node in self._grid.get_nodes()
        }

    def _nodes(self) -> dict[str, Node]:
        """The node of every named center that is connected now, by center in name order."""
        return _by_center(self._seen())

    def _introduce(self, question: PendingMessage, reply: Reply) -> None:
        """Remember whose node a nameless one is."""
        if question.center:
            return
        if not reply.center:
            logger.warning("node %d did not say whose it is (%s)", question.node.node_id, reply.error or "no name")
            return
        others = {node: name for node, name in self._seen().items() if node.node_id != question.node.node_id}
        _by_center({**others, question.node: reply.center})
        self._names[question.node.node_id] = reply.center

    def _pause(self, ends_at: float) -> None:
        time.sleep(max(0.0, min(self._poll_s, ends_at - time.monotonic())))


def _time_to_live(deadline_s: float) -> float:
    return max(DEFAULT_TTL, 2 * deadline_s)


def _by_center(names: Mapping[Node, str]) -> dict[str, Node]:
    """Turn node -> name round; nameless nodes are left out.

    Raises:
        GridError: a name stands at more than one node.
    """
    twice = {name: count for name, count in Counter(names.values()).items() if name and count > 1}
    if twice:
        raise GridError(
            f"center(s) {sorted(twice)} are connected by more than one node; each center has one name and one key: "
            "stop the second node or register it under its own name"
        )
    return {name: node for node, name in sorted(names.items(), key=lambda item: item[1]) if name}


def _name_the_late(batch: RequestBatch, instructions: Mapping[str, Instruction], deadline_s: float) -> None:
    for center in batch.open:
        asked = instructions[center]
        logger.warning(
            "center '%s' did not answer '%s' (%s/%d) within %g s; a later answer does not count",
            center,
            asked.kind,
            asked.stage,
            asked.server_round,
            deadline_s,
        )


def _take(replies: dict[str, Reply], on_reply: OnReply | None, center: str, reply: Reply, bytes_down: int) -> None:
    replies[center] = reply
    if on_reply is not None:
        on_reply(center, reply, bytes_down, 0 if reply.payload is None else tensor_bytes(reply.payload.tensors))
