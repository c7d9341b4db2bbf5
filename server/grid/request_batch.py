"""One request to each of several centers: each is answered once, whatever the network does meanwhile.

A center that is lost (not connected, its node restarted, its trainer away) is asked the same again when it is back.
Bytes count for every copy that was sent.
"""

import logging
import time
from collections import Counter
from collections.abc import Mapping

from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from server.grid.center_answer import CenterAnswer
from server.grid.retry_policy import RetryPolicy
from server.grid.transport import PASSING, UNAVAILABLE, Node, PendingMessage, Transport

logger = logging.getLogger(__name__)


class RequestBatch:
    """Requests under way.

    Args:
        transport: the way to the nodes.
        instructions: one a center.
        patience_s: how long a lost center is waited for; 0 gives it up at once and never asks twice.
        ttl_s: how long a message may live.

    Attributes:
        open: the centers that have not been answered for, in the order of the instructions.
        waiting: messages of open centers that may still be answered.
        left: messages of centers that were given up; an answer to one is late.
    """

    def __init__(
        self, transport: Transport, instructions: Mapping[str, Instruction], *, patience_s: float, ttl_s: float
    ) -> None:
        self._transport, self._instructions, self._ttl_s = transport, instructions, ttl_s
        self._retry_policy = RetryPolicy(patience_s)
        self._bytes_down: Counter[str] = Counter()
        self.open = dict.fromkeys(instructions)
        self._sent: dict[str, list[str]] = {}
        self.waiting: dict[str, PendingMessage] = {}
        self.left: dict[str, PendingMessage] = {}

    def send_due(self, nodes: Mapping[str, Node]) -> None:
        """Send what has to be sent, given the centers that are connected now."""
        now = time.monotonic()
        for center in list(self.open):
            node, under_way = nodes.get(center), self._under_way(center)
            if node is None:
                self._lose(center, UNAVAILABLE, now)
            elif self._retry_policy.is_lost(center) or node not in {message.node for message in under_way.values()}:
                self._send(center, node, now)

    def take(self) -> list[CenterAnswer]:
        """An answer for each center that is through by now: its reply, or what stands for it."""
        now = time.monotonic()
        through = []
        for message, reply in self._transport.receive(self.waiting):
            if message.center not in self.open:
                logger.debug("center '%s' answered a second copy", message.center)
            elif reply.error not in PASSING:
                self._close(message.center)
                through.append(self._answer(reply))
            elif not self._under_way(message.center):
                self._lose(message.center, reply.error, now)
        return [*through, *self._leave(self._retry_policy.out_of_patience(now))]

    def end(self, deadline_s: float) -> list[CenterAnswer]:
        """At the deadline: what stands for each center that is lost; those that just did not answer are named."""
        answers = self._leave(self._retry_policy.still_lost())
        for center in self.open:
            instruction = self._instructions[center]
            logger.warning(
                "center '%s' did not answer '%s' (%s/%d) within %g s; a later answer does not count",
                center,
                instruction.kind,
                instruction.stage,
                instruction.server_round,
                deadline_s,
            )
        return answers

    def _answer(self, reply: Reply) -> CenterAnswer:
        return CenterAnswer.weigh(reply, self._bytes_down[reply.center])

    def _leave(self, replies: Mapping[str, Reply]) -> list[CenterAnswer]:
        """Give up centers that are open, and stop waiting for copies of what is answered; what stands for the former.

        Args:
            replies: centers to give up -> what stands for each.
        """
        leaving = [center for center in self.open if center in replies] if replies else []
        for center in leaving:
            self.left |= self._close(center)
        return [self._answer(replies[center]) for center in leaving]

    def _send(self, center: str, node: Node, now: float) -> None:
        if not self._retry_policy.may_ask(center, now):
            return
        sent = self._transport.send(self._instructions[center], center, node, self._ttl_s)
        if not sent:
            self._lose(center, UNAVAILABLE, now)
            return
        if self._bytes_down[center] or self._retry_policy.is_lost(center):
            logger.info("center '%s' is connected and asked (%s)", center, next(iter(sent.values())).about)
        self._retry_policy.note_asked(center, now)
        self.waiting |= sent
        self._sent.setdefault(center, []).extend(sent)
        self._bytes_down[center] += sum(message.bytes_down for message in sent.values())

    def _lose(self, center: str, error: str, now: float) -> None:
        if self._retry_policy.is_lost(center):
            return
        instruction = self._instructions[center]
        logger.warning("center '%s' is lost (%s), %s/%d", center, error, instruction.stage, instruction.server_round)
        self._retry_policy.lose(center, Reply(center=center, kind=instruction.kind, error=error), now)

    def _close(self, center: str) -> dict[str, PendingMessage]:
        """Wait for a center no longer; what was still under way to it."""
        under_way = self._under_way(center)
        del self.open[center]
        for key in under_way:
            del self.waiting[key]
        return under_way

    def _under_way(self, center: str) -> dict[str, PendingMessage]:
        """What a center may still answer; looked up by center, since a batch may be of thousands."""
        return {key: self.waiting[key] for key in self._sent.get(center, ()) if key in self.waiting}
