"""Updates that missed their round: asked after, set aside and noted, so that none is lost without a word.

A round that went on without a center stays open for that center until it is known what became of its update: it came
late, or the center says that it has none. Until that is acknowledged the center keeps what it has.
"""

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

from protocol.errors import NO_ANSWER, TRAINER_UNAVAILABLE, LateError, NothingWaitingError, StorageError
from protocol.messages.instruction import Instruction
from protocol.messages.payload import Payload
from protocol.messages.reply import Reply
from protocol.messages.tensors import content_hash
from server.grid.center_answer import CenterAnswer
from server.grid.containment import contain
from server.grid.transport import UNAVAILABLE
from server.rounds.dispatcher import Dispatcher, no_answers
from server.rounds.inbox import Inbox
from server.rounds.instructions import InstructionBuilder
from server.study.checkpoint import Checkpoint
from server.study.events import LateFound, Listen
from server.study.history import LateRecord, RoundRecord

logger = logging.getLogger(__name__)

OPEN = frozenset({UNAVAILABLE, TRAINER_UNAVAILABLE, NO_ANSWER, LateError.code, StorageError.code})
"""A center whose disk was full may have kept its update and not been able to write down that it leaves."""
UPDATE, OTHER = "late", "late, and no update"


@dataclass(frozen=True)
class MissedRounds:
    """What `rounds` say of centers that were not heard: center -> its records, in order."""

    rounds: tuple[RoundRecord, ...]
    records: Mapping[str, list[RoundRecord]]


class LateUpdates:
    """What is known of updates that missed their round.

    Args:
        inbox: where they are set aside.
        tell: told of each.
        records: what an earlier run found out.
    """

    def __init__(self, inbox: Inbox, tell: Listen, records: Iterable[LateRecord]) -> None:
        self._inbox, self._tell = inbox, tell
        self.records = tuple(records)
        self._missed = of_each_center((), OPEN)

    def open_rounds(self, center: str, rounds: tuple[RoundRecord, ...]) -> dict[int, str]:
        """The rounds, in order, of whose update nothing is known, each with its stage."""
        if self._missed.rounds is not rounds:  # read once for all centers, whose number may be large
            self._missed = of_each_center(rounds, OPEN)
        missed = self._missed.records.get(center)
        known = {record.server_round for record in self.records if record.center == center} if missed else ()
        return {record.server_round: record.stage for record in missed or () if record.server_round not in known}

    def last_acknowledged(self, center: str, state: Checkpoint) -> int:
        """The last round up to which everything is known of a center's updates; it may forget those."""
        return min(self.open_rounds(center, state.history.rounds), default=state.server_round + 1) - 1

    def acknowledge(self, instructions: Mapping[str, Instruction], state: Checkpoint) -> dict[str, Instruction]:
        """The instructions, each telling its center up to which round it may forget."""
        return {
            center: replace(instruction, acknowledged=self.last_acknowledged(center, state))
            for center, instruction in instructions.items()
        }

    def in_time(self, answers: Iterable[CenterAnswer], state: Checkpoint) -> Iterator[CenterAnswer]:
        """The answers that are not late; what a late one brings is set aside when its turn comes."""
        for answer in answers:
            if answer.late:
                self.set_aside(answer.reply, state)
            else:
                yield answer

    def set_aside(self, reply: Reply, state: Checkpoint) -> None:
        """Set aside what a reply brings; it belongs to no round any more."""
        contain(reply.center, "set aside", partial(self._set_aside, reply, state), lambda: None)

    def _set_aside(self, reply: Reply, state: Checkpoint) -> None:
        payload, is_update = reply.payload, reply.kind in {"train", "collect"}
        if payload is None or not self._keep(payload, UPDATE if is_update else OTHER):
            return
        place = (payload.stage, payload.server_round, payload.center)
        asked = {(record.stage, record.server_round, record.center) for record in state.history.rounds}
        known = {(record.stage, record.server_round, record.center) for record in self.records}
        if is_update and place in asked - known:
            found_in_round = state.server_round + 1
            self._note(LateRecord(*place, found_in_round, "set-aside", content_hash(payload.tensors)))

    def collect(
        self, dispatcher: Dispatcher, builder: InstructionBuilder, state: Checkpoint
    ) -> list[dict[str, CenterAnswer]]:
        """Ask centers that are connected and idle for updates of open rounds, one a message, the oldest first.

        Returns:
            Every center's answers, those to the first message first.
        """
        rounds = state.history.rounds
        answers: list[dict[str, CenterAnswer]] = []
        asked = [name for name in dispatcher.idle() if name in dispatcher.cases and self.open_rounds(name, rounds)]
        while asked:
            instructions = self.acknowledge({name: builder.collection(state, name) for name in asked}, state)
            found = no_answers(instructions)
            for answer in self.in_time(dispatcher.collect(instructions), state):
                found[answer.center] = answer
            answers.append(found)
            asked = [name for name in asked if self._go_on_with(found[name].reply, state)]
        return answers

    def _go_on_with(self, reply: Reply, state: Checkpoint) -> bool:
        """As `_take_in`; a center whose answer cannot be taken in is not asked again before the next round."""
        return contain(reply.center, "taken in", partial(self._take_in, reply, state), lambda: False)

    def _take_in(self, reply: Reply, state: Checkpoint) -> bool:
        """Take in the answer to a `collect`; True where it closed a round and others are left open.

        The center answers with the oldest update it has: of the open rounds before that one it has none.
        """
        center = reply.center
        missing = self.open_rounds(center, state.history.rounds)
        if reply.payload is not None and not reply.error:
            oldest = reply.payload.server_round
            if oldest in missing:
                self.set_aside(reply, state)
        elif reply.error == NothingWaitingError.code:
            oldest = state.server_round + 1
        else:
            logger.warning("center '%s' cannot say what waits there (%s)", center, reply.error or "no payload")
            return False
        for server_round, stage in missing.items():
            if server_round < oldest:
                self._note_absent(center, stage, server_round, state)
        left = self.open_rounds(center, state.history.rounds)
        return bool(left) and len(left) < len(missing)

    def _note_absent(self, center: str, stage: str, server_round: int, state: Checkpoint) -> None:
        """A center has no update of a round: an earlier run may have set it aside and died before it noted that."""
        aside = self._inbox.has_put_aside(center, stage, server_round, UPDATE)
        fate = LateRecord(stage, server_round, center, state.server_round + 1, "nothing-waiting")
        self._note(replace(fate, fate="set-aside") if aside else fate)

    def _keep(self, payload: Payload, reason: str) -> bool:
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
        self._tell(LateFound(record))


def of_each_center(rounds: tuple[RoundRecord, ...], errors: Collection[str]) -> MissedRounds:
    """The records with one of these errors, by center."""
    found: dict[str, list[RoundRecord]] = {}
    for record in rounds:
        if record.error in errors:
            found.setdefault(record.center, []).append(record)
    return MissedRounds(rounds, found)
