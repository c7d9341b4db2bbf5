"""Who has been asked to introduce itself, and whose answer counts."""

import time
from collections.abc import Collection, Mapping

from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from server.grid.retry_policy import RetryPolicy
from server.grid.transport import PASSING, Node, PendingMessage, Transport, withdraw


class Registration:
    """Who has been asked to introduce itself; a node that was lost, or started anew, is asked again.

    Args:
        instruction: of kind `register`.
        expected: names of the centers that are wanted.
        patience: how long a node that was lost is waited for.
        ttl_s: how long a message may live.
    """

    def __init__(
        self, instruction: Instruction, expected: Collection[str], patience: RetryPolicy, ttl_s: float
    ) -> None:
        self._instruction, self._expected, self._patience, self._ttl_s = instruction, expected, patience, ttl_s
        self._invited: set[Node] = set()

    def invite(self, transport: Transport, seen: Mapping[Node, str], waiting: dict[str, PendingMessage]) -> None:
        """Ask the nodes that are wanted and have not been asked."""
        now = time.monotonic()
        for node, name in seen.items():
            wanted = node not in self._invited and name in {"", *self._expected}
            if not wanted or not self._patience.may_ask(str(node.node_id), now):
                continue
            if sent := transport.send(self._instruction, name, node, self._ttl_s):
                waiting |= sent
                self._invited.add(node)
                self._patience.asked(str(node.node_id), now)

    def accepted(
        self, arrived: Collection[tuple[PendingMessage, Reply]], waiting: dict[str, PendingMessage]
    ) -> list[tuple[PendingMessage, Reply]]:
        """The answers that count; a node that was lost may be asked again while patience lasts."""
        accepted, now = [], time.monotonic()
        for question, reply in arrived:
            key = str(question.node.node_id)
            if reply.error in PASSING:
                self._patience.lose(key, reply, now)
            if reply.error in PASSING and key not in self._patience.given_up(now):
                self._invited.discard(question.node)
            else:
                withdraw(waiting, [question])
                accepted.append((question, reply))
        return accepted
