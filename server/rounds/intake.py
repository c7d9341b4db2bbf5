"""What becomes of one answer of a round: checked, put into the inbox, recorded; one that cannot be is left out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from protocol.errors import UNREADABLE, LateError
from protocol.messages.instruction import Instruction
from protocol.messages.payload import Payload
from protocol.messages.reply import Reply
from protocol.messages.tensors import Tensors
from server.grid.center_answer import CenterAnswer
from server.grid.containment import contain
from server.rounds.inbox import Inbox
from server.rounds.late_updates import LateUpdates
from server.rounds.records import as_asked, record_of
from server.rounds.round_end import conclude
from server.rounds.round_under_way import RoundUnderWay
from server.study.checkpoint import Checkpoint
from server.study.history import RoundRecord


@dataclass(frozen=True)
class Intake:
    """The way of answers into one round.

    under_way: the round. state: before it. inbox, late: where payloads go that count, and that came too late.
    beside: center -> the statistics that its payload is weighed by; None where the scheme needs none.
    """

    under_way: RoundUnderWay
    state: Checkpoint
    inbox: Inbox
    late: LateUpdates
    beside: Mapping[str, Tensors] | None

    def instruct(self, instructions: Mapping[str, Instruction]) -> Mapping[str, Instruction]:
        """The instructions of the round; nothing is to be added to them."""
        return instructions

    def conclude(self, state: Checkpoint, records: Iterable[RoundRecord]) -> Checkpoint:
        """The state after the round, as `server.rounds.round_end` has it."""
        return conclude(self.under_way, state, records, self.inbox)

    def take_in(self, answer: CenterAnswer, registered_cases: int) -> RoundRecord:
        """What became of an answer; its payload is in the inbox where it may be aggregated.

        Raises:
            StorageError: the disk refuses.
        """
        answer = as_asked(answer, self.under_way.training)
        take_in, leave_out = partial(self._take_in, answer, registered_cases), partial(self._leave_out, answer)
        return contain(answer.center, "taken into the round", take_in, leave_out)

    def _take_in(self, answer: CenterAnswer, registered_cases: int) -> RoundRecord:
        payload = answer.reply.payload
        norms, error = self.under_way.check(answer.reply, self.state, registered_cases)
        if not error and payload is not None:
            error = self._put(payload)
        elif error == LateError.code:
            self.late.set_aside(answer.reply, self.state)
        return record_of(answer, self.under_way.builder.stage, self.under_way.number, error, norms)

    def _put(self, payload: Payload) -> str:
        """Put a payload with the statistics its scheme needs into the inbox; an error code where those are missing."""
        if self.beside is not None and payload.center not in self.beside:
            return "not-observed"
        statistics = (self.beside or {}).get(payload.center, {})
        self.inbox.put(replace(payload, tensors={**payload.tensors, **statistics}))
        return ""

    def _leave_out(self, answer: CenterAnswer) -> RoundRecord:
        """The record of an answer that could not be taken in; nothing of it stays in the inbox."""
        stage, number = self.under_way.builder.stage, self.under_way.number
        self.inbox.discard(answer.center, stage.name, number)
        failed = Reply(answer.center, answer.reply.kind, error=UNREADABLE)
        return record_of(replace(answer, reply=failed), stage, number, UNREADABLE, {})
