"""The centers as the round loop sees them: one instruction to each by name, replies as they arrive.

Works over any Flower `Grid`: SuperLink, Ray or in-process. A node belongs to the center whose name it was registered
with; where nodes are nameless (Ray), the reply to a `register` instruction names it. Never by what a later reply says.
A message that missed its deadline stays known until its time to live ends: its answer is yielded apart, as late.
"""

import logging
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping

from flwr.app import DEFAULT_TTL
from flwr.serverapp import Grid

from protocol.errors import ConciliumError
from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from server.grid.center_answer import CenterAnswer
from server.grid.pace import Pace
from server.grid.pulling import Pull, pull_together
from server.grid.registration import Registration
from server.grid.request_batch import RequestBatch
from server.grid.transport import Bounds, Node, PendingMessage, Transport, about, withdraw

logger = logging.getLogger(__name__)

LONGEST_LOOK_S, LOOKS = 5.0, 20


class GridError(ConciliumError):
    """The connected nodes cannot be told apart as centers."""

    code = "grid"


class CenterGrid:
    """The centers connected to one run.

    Args:
        grid: the way to the nodes.
        poll_s: pause after a look for replies that found none; a grid that answers at once never pauses.
        patience_s: how long, within a deadline, a center that is not connected or whose trainer is away is waited for
            and then asked the same again; 0 takes it for gone at once, as on one machine, where nobody comes back.
        pull: how replies are fetched; `pull_apart` where others run the nodes.
        pace: ends the wait for a center before the deadline, by its own pace; None waits for each until the deadline.
    """

    def __init__(
        self,
        grid: Grid,
        *,
        poll_s: float = 0.5,
        patience_s: float = 0.0,
        pull: Pull = pull_together,
        pace: Pace | None = None,
    ) -> None:
        self._grid, self._transport = grid, Transport(grid, pull)
        self._poll_s, self._patience_s, self._pace = poll_s, patience_s, pace
        self._overdue: dict[str, PendingMessage] = {}
        self._names: dict[int, str] = {}

    def expect(self, bounds: Bounds) -> None:
        """Take from now on no more tensors than these from each center, by its name and the kind of what is asked."""
        self._transport.bounds = bounds

    def centers(self) -> dict[str, int]:
        """Flower's node id of every named center that is connected now, by center in name order.

        Raises:
            GridError: two connected nodes have one center's name.
        """
        return {center: node.node_id for center, node in self._nodes().items()}

    def idle(self) -> tuple[str, ...]:
        """The centers connected now that are not at work on a message that missed its deadline, sorted.

        Raises:
            GridError: two connected nodes have one center's name.
        """
        at_work = {message.node for message in self._overdue.values()}
        return tuple(center for center, node in self._nodes().items() if node not in at_work)

    def register(
        self, instruction: Instruction, *, deadline_s: float, expected: Collection[str], enough: int | None = None
    ) -> Iterator[CenterAnswer]:
        """Ask nodes to introduce themselves, also those that connect meanwhile; read to its end, as `ask`.

        Args:
            instruction: of kind `register`.
            deadline_s: seconds to wait at most.
            expected: centers to wait for; nodes with other names are left alone.
            enough: once this grid's patience is over, so many answers without error end the wait before the deadline;
                None, or a grid without patience, waits for all `expected`.

        Yields:
            The answer of each center, as it arrives; between them late answers, as in `ask`.

        Raises:
            GridError: two nodes introduce themselves as one center.
        """
        ttl_s, patience_s = _time_to_live(deadline_s), self._patience_s
        registration = Registration(
            self._transport, instruction, expected, enough=enough, patience_s=patience_s, ttl_s=ttl_s
        )
        started, found = time.monotonic(), list[tuple[PendingMessage, Reply]]()
        try:
            while True:
                if not found:  # who came meanwhile is asked once no answer waits
                    registration.invite(self._names_by_node())
                found = registration.take()
                yield from self._introduce_all(found)
                passed_s = time.monotonic() - started
                if passed_s >= deadline_s or registration.is_done(passed_s):
                    break
                if not found:
                    yield from self._hear_late()
                    self._pause(started + deadline_s)
            yield from self._hear_late()
        finally:
            self._overdue |= registration.waiting

    def ask(self, instructions: Mapping[str, Instruction], *, deadline_s: float) -> Iterator[CenterAnswer]:
        """Send each center its instruction, and yield answers as they arrive until all are there or time is over.

        Nothing is sent before the first answer is asked for, and an answer that is not read is lost: read to the end.
        A center that is lost is sent its instruction again when it is back, within this grid's patience; without
        patience, a center that connects only after the instructions were sent is not asked by this call. With a pace,
        time is over once each center that has not answered had its own; until then every answer counts.

        Args:
            instructions: one a center; they are sent in this order.
            deadline_s: seconds to wait at most; what arrives later is heard by later calls as late.

        Yields:
            One answer for each center that is through. A center that is not connected or vanished has the error
            `node-unavailable`, one that answers in another's name `other-center`, with something else `unreadable`.
            Between them, marked as late, each answer to a message of an earlier call that missed its deadline, once.
        """
        ttl_s = _time_to_live(deadline_s)
        batch = RequestBatch(self._transport, instructions, patience_s=self._patience_s, ttl_s=ttl_s)
        waits = {} if self._pace is None else self._pace.ask(instructions, deadline_s)
        batch.send_due(self._nodes())
        now = time.monotonic()
        looks_at = now + self._look_s
        try:
            yield from self._hear_late()
            while batch.open and time.monotonic() < (ends_at := now + _longest(waits, batch.open, deadline_s)):
                answers = self._take(batch, instructions)
                yield from answers
                if not answers:
                    yield from self._hear_late()
                    self._pause(ends_at)
                if self._patience_s and time.monotonic() >= looks_at:
                    batch.send_due(self._nodes())
                    looks_at = time.monotonic() + self._look_s
            yield from batch.end(_longest(waits, batch.open, deadline_s))
        finally:
            self._overdue |= batch.waiting | batch.left

    @property
    def _look_s(self) -> float:
        """Seconds between two looks for centers that are back."""
        return min(LONGEST_LOOK_S, self._patience_s / LOOKS)

    def _hear_late(self) -> list[CenterAnswer]:
        """What has arrived for messages that missed their deadline; those that expired are forgotten."""
        late = []
        for message, reply in self._transport.receive(self._overdue):
            logger.warning(
                "center '%s' answered '%s' (%s) after the deadline%s; the answer is put aside",
                reply.center,
                message.kind,
                message.about,
                f" with error '{reply.error}'" if reply.error else "",
            )
            self._learn(reply, message.about)
            if not reply.error:
                withdraw(self._overdue, [message])
            self._introduce_late(message, reply)
            late.append(CenterAnswer.weigh(reply, message.bytes_down, late=True))
        now = time.monotonic()
        self._overdue = {key: message for key, message in self._overdue.items() if message.expires_at > now}
        return late

    def _take(self, batch: RequestBatch, instructions: Mapping[str, Instruction]) -> list[CenterAnswer]:
        """The answers of a batch that are there; its centers' pace is known by them."""
        answers = batch.take()
        for answer in answers:
            self._learn(answer.reply, about(instructions[answer.center]))
        return answers

    def _learn(self, reply: Reply, asked_about: str) -> None:
        """Let an answer tell of its center's pace."""
        if self._pace is not None:
            self._pace.hear(reply, asked_about)

    def _introduce_all(self, found: Iterable[tuple[PendingMessage, Reply]]) -> Iterator[CenterAnswer]:
        """The answers of nodes that have a center's name, or have just said it."""
        for message, reply in found:
            self._introduce(message, reply)
            if reply.center:
                yield CenterAnswer.weigh(reply, message.bytes_down)

    def _introduce_late(self, message: PendingMessage, reply: Reply) -> None:
        """As `_introduce`; a second node of one center is left nameless, since a round is under way."""
        try:
            if message.kind == "register":
                self._introduce(message, reply)
        except GridError:
            logger.exception("node %d is not taken for center '%s'", message.node.node_id, reply.center)

    def _names_by_node(self) -> dict[Node, str]:
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
        return _by_center(self._names_by_node())

    def _introduce(self, message: PendingMessage, reply: Reply) -> None:
        """Remember whose node a nameless one is."""
        if message.center:
            return
        if not reply.center:
            logger.warning("node %d did not say whose it is (%s)", message.node.node_id, reply.error or "no name")
            return
        others = {node: name for node, name in self._names_by_node().items() if node.node_id != message.node.node_id}
        _by_center({**others, message.node: reply.center})
        self._names[message.node.node_id] = reply.center

    def _pause(self, ends_at: float) -> None:
        time.sleep(max(0.0, min(self._poll_s, ends_at - time.monotonic())))


def _longest(waits: Mapping[str, float], centers: Iterable[str], deadline_s: float) -> float:
    """Seconds until the last of `centers` has had its time."""
    return deadline_s if not waits else max((waits.get(center, deadline_s) for center in centers), default=0.0)


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
