"""The nodes that are asked to introduce themselves, and whose answer counts."""

import time
from collections import Counter
from collections.abc import Collection, Mapping

from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from server.grid.retry_policy import RetryPolicy
from server.grid.transport import PASSING, Node, PendingMessage, Transport, withdraw


class Registration:
    """One registration under way; a node that was lost, or started anew, is asked again.

    Args:
        transport: the way to the nodes.
        instruction: of kind `register`.
        expected: names of the centers that are wanted.
        enough: so many answers without error will do once patience is over; None for all `expected`.
        patience_s: how long a node that was lost is waited for.
        ttl_s: how long a message may live.

    Attributes:
        waiting: messages that may still be answered.
        received: centers that count -> their reply.
    """

    def __init__(
        self,
        transport: Transport,
        instruction: Instruction,
        expected: Collection[str],
        *,
        enough: int | None,
        patience_s: float,
        ttl_s: float,
    ) -> None:
        self._transport, self._instruction, self._expected = transport, instruction, set(expected)
        self._enough, self._patience_s, self._ttl_s = enough, patience_s, ttl_s
        self._retry_policy = RetryPolicy(patience_s)
        self._invited: set[Node] = set()
        self._copies: Counter[str | int] = Counter()
        self.waiting: dict[str, PendingMessage] = {}
        self.received: dict[str, Reply] = {}

    def invite(self, names: Mapping[Node, str]) -> None:
        """Ask the nodes that are wanted and have not been asked; nameless ones, of name "", are wanted too."""
        now = time.monotonic()
        for node, name in names.items():
            wanted = node not in self._invited and (not name or name in self._expected)
            if not wanted or not self._retry_policy.may_ask(str(node.node_id), now):
                continue
            if sent := self._transport.send(self._instruction, name, node, self._ttl_s):
                self.waiting |= sent
                self._copies[name or node.node_id] += 1
                self._invited.add(node)
                self._retry_policy.note_asked(str(node.node_id), now)

    def take(self) -> list[tuple[PendingMessage, Reply]]:
        """The answers that are there and count; a node that was lost may be asked again while patience lasts."""
        counting, now = [], time.monotonic()
        for message, reply in self._transport.receive(self.waiting):
            key = str(message.node.node_id)
            if reply.error in PASSING:
                self._retry_policy.lose(key, reply, now)
            if reply.error in PASSING and key not in self._retry_policy.out_of_patience(now):
                self._invited.discard(message.node)
                continue
            if self._copies[message.center or message.node.node_id] > 1:  # of thousands, few have been asked again
                withdraw(self.waiting, [message])
            counting.append((message, reply))
            if reply.center:
                self.received[reply.center] = reply
        return counting

    def is_done(self, seconds: float) -> bool:
        """Whether all are there, or enough after so many seconds."""
        if self._expected <= self.received.keys():
            return True
        if self._enough is None or not 0 < self._patience_s <= seconds:
            return False
        return sum(not reply.error for reply in self.received.values()) >= self._enough
