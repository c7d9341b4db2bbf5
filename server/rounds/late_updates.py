"""Updates that missed their round: asked after, set aside and noted, so that none is lost without a word.

A round that went on without a center is unacknowledged for that center until it is known what became of its update: it came
late, or the center says that it has none. Until then the center keeps what it has.
"""

import logging
from collections.abc import Iterable
from dataclasses import replace

from protocol.errors import NO_ANSWER, TRAINER_UNAVAILABLE, LateError, NothingWaitingError, StorageError
from protocol.messages.instruction import Instruction
from protocol.messages.payload import Payload
from protocol.messages.reply import Reply
from protocol.messages.tensors import content_hash
from server.grid.transport import UNAVAILABLE
from server.rounds.dispatcher import CenterAnswer, Dispatcher
from server.rounds.inbox import Inbox
from server.rounds.instructions import InstructionBuilder
from server.study.checkpoint import Checkpoint
from server.study.events import Listener
from server.study.history import LateRecord, RoundRecord

logger = logging.getLogger(__name__)

UNSETTLED = frozenset({UNAVAILABLE, TRAINER_UNAVAILABLE, NO_ANSWER, LateError.code})
UPDATE, OTHER = "late", "late, and no update"


class LateUpdates:
    """What is known of updates that missed their round.

    Args:
        inbox: where they are set aside.
        listener: told of each.
        records: what an earlier run found out.
    """

    def __init__(self, inbox: Inbox, listener: Listener, records: Iterable[LateRecord]) -> None:
        self._inbox, self._listener = inbox, listener
        self.records = tuple(records)

    def unacknowledged(self, center: str, rounds: Iterable[RoundRecord]) -> dict[int, str]:
        """The rounds, in order, whose update nothing is known of, each with its stage."""
        known = {(record.center, record.server_round) for record in self.records}
        return {
            record.server_round: record.stage
            for record in rounds
            if record.center == center and record.error in UNSETTLED and (center, record.server_round) not in known
        }

    def acknowledged(self, center: str, state: Checkpoint) -> int:
        """The last round up to which everything is known of a center's updates; it may forget those."""
        return min(self.unacknowledged(center, state.history.rounds), default=state.server_round + 1) - 1

    def take(self, reply: Reply, state: Checkpoint) -> None:
        """Set aside what a reply brings; it belongs to no round any more."""
        payload = reply.payload
        if payload is None or not self._set_aside(payload, UPDATE if reply.kind in {"train", "collect"} else OTHER):
            return
        place = (payload.stage, payload.server_round, payload.center)
        asked = {(record.stage, record.server_round, record.center) for record in state.history.rounds}
        known = {(record.stage, record.server_round, record.center) for record in self.records}
        if reply.kind in {"train", "collect"} and place in asked - known:
            found_in_round = state.server_round + 1
            self._note(LateRecord(*place, found_in_round, "set-aside", content_hash(payload.tensors)))

    def collect(
        self, dispatcher: Dispatcher, builder: InstructionBuilder, state: Checkpoint
    ) -> list[dict[str, CenterAnswer]]:
        """Ask the centers that are connected and idle for updates of unacknowledged rounds, one a message, the oldest first.

        Returns:
            Every center's answers, those to the first message first.
        """
        study, rounds = builder.prepared.study, state.history.rounds
        answers: list[dict[str, CenterAnswer]] = []
        asked = [name for name in dispatcher.idle() if name in dispatcher.cases and self.unacknowledged(name, rounds)]
        while asked:
            instructions = {
                name: Instruction(
                    "collect", study.settings_for(name), stage=builder.stage.name, server_round=state.server_round + 1
                )
                for name in asked
            }
            found = dispatcher.collect(instructions)
            answers.append(found)
            asked = [name for name in asked if self._filed(name, found[name].reply, state)]
        return answers

    def _filed(self, center: str, reply: Reply, state: Checkpoint) -> bool:
        """File the answer to a `collect`; True where it acknowledged a round and others are left.

        The center answers with the oldest update it has: of the unacknowledged rounds before that one it has none.
        """
        missing = self.unacknowledged(center, state.history.rounds)
        if reply.payload is not None and not reply.error:
            oldest = reply.payload.server_round
            if oldest in missing:
                self.take(reply, state)
        elif reply.error == NothingWaitingError.code:
            oldest = state.server_round + 1
        else:
            logger.warning("center '%s' cannot say what waits there (%s)", center, reply.error or "no payload")
            return False
        for server_round, stage in missing.items():
            if server_round < oldest:
                self._note_absent(center, stage, server_round, state)
        left = self.unacknowledged(center, state.history.rounds)
        return bool(left) and len(left) < len(missing)

    def _note_absent(self, center: str, stage: str, server_round: int, state: Checkpoint) -> None:
        """A center has no update of a round: an earlier run may have set it aside and died before it noted that."""
        aside = self._inbox.has_put_aside(center, stage, server_round, UPDATE)
        fate = LateRecord(stage, server_round, center, state.server_round + 1, "nothing-waiting")
        self._note(replace(fate, fate="set-aside") if aside else fate)

    def _set_aside(self, payload: Payload, reason: str) -> bool:
        try:
            self._inbox.put_aside(payload, reason)
        except StorageError as error:
            logger.error(
                "the late update of center '%s', stage '%s', round %d, content hash %s cannot be set aside: %s",
                payload.center,
                payload.stage,
                payload.server_round,
                content_hash(payload.tensors),
                error,
            )
            return False
        return True

    def _note(self, record: LateRecord) -> None:
        logger.info(
            "stage '%s', round %d, center '%s': %s", record.stage, record.server_round, record.center, record.fate
        )
        self.records = (*self.records, record)
        self._listener.late_found(record)
