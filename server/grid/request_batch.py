"""One round of questions, a question a center: each is answered once, whatever the network does meanwhile.

A center that is lost (not connected, its node restarted, its trainer away) is asked the same again when it is back.
Bytes count for every copy that was sent.
"""

import logging
import time
from collections import Counter
from collections.abc import Mapping

from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from server.grid.retry_policy import RetryPolicy
from server.grid.transport import PASSING, UNAVAILABLE, Node, PendingMessage, Transport

logger = logging.getLogger(__name__)


class RequestBatch:
    """Questions under way.

    Args:
        transport: the way to the nodes.
        instructions: one a center.
        patience_s: how long a lost center is waited for; 0 gives it up at once and never asks twice.
        ttl_s: how long a message may live.

    Attributes:
        open: the centers that have not been answered for, in the order of the instructions.
        waiting: messages of open centers that may still be answered.
        left: messages of centers that were given up; an answer to one is late.
        bytes_down: tensor bytes sent to each center, all copies counted.
    """

    def __init__(
        self, transport: Transport, instructions: Mapping[str, Instruction], *, patience_s: float, ttl_s: float
    ) -> None:
        self._transport, self._instructions, self._ttl_s = transport, instructions, ttl_s
        self._patience = RetryPolicy(patience_s)
        self.open = list(instructions)
        self.waiting: dict[str, PendingMessage] = {}
        self.left: dict[str, PendingMessage] = {}
        self.bytes_down: Counter[str] = Counter()

    def look(self, nodes: Mapping[str, Node]) -> None:
        """Send what has to be sent, given the centers that are connected now."""
        now = time.monotonic()
        for center in self.open:
            node, under_way = nodes.get(center), self._under_way(center)
            if node is None:
                self._lose(center, UNAVAILABLE, now)
            elif self._patience.is_lost(center) or node not in {question.node for question in under_way.values()}:
                self._send(center, node, now)

    def taken(self) -> list[tuple[str, Reply]]:
        """The centers that are through by now, each with its reply or with what stands for it."""
        now = time.monotonic()
        through = []
        for question, reply in self._transport.arrived(self.waiting):
            if question.center not in self.open:
                logger.debug("center '%s' answered a second copy", question.center)
            elif reply.error not in PASSING:
                self.open.remove(question.center)
                through.append((question.center, reply))
            elif not self._under_way(question.center):
                self._lose(question.center, reply.error, now)
        given_up = self._patience.given_up(now)
        return [*through, *((center, given_up[center]) for center in self._leave(given_up))]

    def end(self) -> list[tuple[str, Reply]]:
        """At the deadline: the centers that are lost, each with what stands for it; the others just did not answer."""
        lost = self._patience.still_lost()
        return [(center, lost[center]) for center in self._leave(lost)]

    def _leave(self, centers: Mapping[str, Reply]) -> list[str]:
        """Stop waiting for some centers and for copies of what is answered; those of `centers` that were open."""
        leaving = [center for center in self.open if center in centers]
        for center in leaving:
            self.open.remove(center)
            self.left |= self._under_way(center)
        self.waiting = {key: question for key, question in self.waiting.items() if question.center in self.open}
        return leaving

    def _send(self, center: str, node: Node, now: float) -> None:
        if not self._patience.may_ask(center, now):
            return
        sent = self._transport.send(self._instructions[center], center, node, self._ttl_s)
        if not sent:
            self._lose(center, UNAVAILABLE, now)
            return
        if self.bytes_down[center] or self._patience.is_lost(center):
            logger.info("center '%s' is connected and asked (%s)", center, next(iter(sent.values())).about)
        self._patience.asked(center, now)
        self.waiting |= sent
        self.bytes_down[center] += sum(question.bytes_down for question in sent.values())

    def _lose(self, center: str, error: str, now: float) -> None:
        if self._patience.is_lost(center):
            return
        instruction = self._instructions[center]
        logger.warning("center '%s' is lost (%s), %s/%d", center, error, instruction.stage, instruction.server_round)
        self._patience.lose(center, Reply(center=center, kind=instruction.kind, error=error), now)

    def _under_way(self, center: str) -> dict[str, PendingMessage]:
        return {key: question for key, question in self.waiting.items() if question.center == center}
