"""What becomes of the answers of a round whose sum alone is seen; the counterpart of `intake` and `round_end`.

Scores come as in any round, so that a fall is found before the sum is opened. What looks at one center's tensors has
nothing to look at: no update is cut to the others' length, none is compared with the others' direction, none that came
late is set beside the sum, and no center can be found that spoils it.
"""

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from protocol.errors import UNREADABLE, ConciliumError, PayloadError, QuorumError
from protocol.messages.instruction import Instruction
from protocol.messages.payload import Payload, frozen_hash, phase_of
from protocol.messages.reply import Reply
from protocol.messages.secure_sum import Contribution
from protocol.messages.tensors import PEFT
from protocol.validation import Expected, validate_masked
from server.grid.center_answer import CenterAnswer
from server.grid.containment import contain
from server.rounds.inbox import Inbox
from server.rounds.intake import Intake
from server.rounds.records import as_asked, record_of
from server.rounds.rollback import find_fall, remember_scored, restore
from server.rounds.round_under_way import RoundUnderWay
from server.rounds.secure_round import SecureRound
from server.rounds.sum_phases import AskAll, check_contribution
from server.rounds.transitions import after_round, hash_for, without_backbone
from server.study.checkpoint import Checkpoint
from server.study.history import RoundRecord
from server.study.roster_file import read_roster
from strategies.secure_sum.fixed_point import limb_finding
from strategies.secure_sum.layout import masked_specs

logger = logging.getLogger(__name__)


class SummedRound:
    """One round, opened among the centers that answered.

    Args:
        under_way: the round.
        state: before it.
        roster: file with the roster of the study.
        inbox: where masked payloads wait.
        ask: asks centers and waits for all.
        centers: who is asked.

    Raises:
        StudyError: there is no roster of this study.
        QuorumError: too few centers drew keys and shared their secrets.
    """

    def __init__(
        self,
        under_way: RoundUnderWay,
        state: Checkpoint,
        roster: Path,
        inbox: Inbox,
        ask: AskAll,
        centers: Collection[str],
    ) -> None:
        self._under_way, self._state, self._inbox = under_way, state, inbox
        self._roster = read_roster(roster, under_way.builder.prepared.study.name)
        self._secure = SecureRound(under_way, state, self._roster, ask)
        self._opened = self._secure.open(centers)
        self._said: dict[str, Contribution] = {}
        self._cases: dict[str, int] = {}

    def instruct(self, instructions: Mapping[str, Instruction]) -> dict[str, Instruction]:
        """The instructions of the centers that go on, each with the boxes that are for it."""
        return self._opened.instruct(instructions)

    def take_in(self, answer: CenterAnswer, registered_cases: int) -> RoundRecord:
        """What became of an answer; its masked payload is in the inbox where it may be summed.

        Raises:
            StorageError: the disk refuses.
        """
        answer = as_asked(answer, self._under_way.training)
        self._cases[answer.center] = registered_cases
        return contain(
            answer.center, "taken into the sum", partial(self._take_in, answer), partial(self._leave_out, answer)
        )

    def conclude(self, state: Checkpoint, records: Iterable[RoundRecord]) -> Checkpoint:
        """The state after the round.

        Raises:
            QuorumError: too few centers are in the sum, or helped to open it.
            PayloadError: the sum cannot come of the round's steps, or of its centers' weights and cases.
        """
        under_way, records = self._under_way, tuple(records)
        stage, study = under_way.builder.stage, under_way.builder.prepared.study
        under_way.check_quorum({record.center: record for record in records})
        kept = replace(state, history=replace(state.history, rounds=(*state.history.rounds, *records)))
        if (fall := find_fall(state, records, stage, study)) is not None:
            logger.warning(
                "stage '%s', round %d: the state after round %d is restored; scores fell by %s; the sum stays closed",
                *(fall.stage, fall.server_round, fall.restored_round, fall.falls),
            )
            return restore(kept, fall)
        payloads = {center: self._inbox.read(center, stage.name, under_way.number) for center in self._said}
        found = self._secure.close(self._opened, payloads, self._said, self._cases)
        if not found.payload.tensors:
            raise QuorumError(f"stage '{stage.name}', round {under_way.number}: no group has enough centers behind it")
        before = remember_scored(state, records)
        before = replace(before, history=replace(before.history, rounds=(*before.history.rounds, *records)))
        after = after_round(before, stage, under_way.training, [found.payload], under_way.base, study)
        _check_finite(after, stage.name)
        *earlier, last = after.history.aggregations
        figures = {name: value for name, value in found.figures.items() if np.isfinite(value)}
        aggregations = (*earlier, replace(last, figures=figures))
        return replace(after, history=replace(after.history, aggregations=aggregations))

    def _take_in(self, answer: CenterAnswer) -> RoundRecord:
        payload, error = answer.reply.payload, answer.reply.error
        if not error and payload is None:
            error = "no-payload"
        if not error and payload is not None:
            try:
                self._said[answer.center] = self._check(answer, payload)
                self._inbox.put(payload)
            except ConciliumError as refused:
                self._said.pop(answer.center, None)
                logger.warning("%s", refused)
                error = refused.code
        return record_of(answer, self._under_way.builder.stage, self._under_way.number, error, {})

    def _check(self, answer: CenterAnswer, payload: Payload) -> Contribution:
        """What a center contributes.

        Raises:
            PayloadError: its masked rows are not those of the round.
            SecureSumError: it is not in the sum, or did not sign what it says.
        """
        under_way, builder = self._under_way, self._under_way.builder
        said = check_contribution(answer, self._opened, self._roster)
        sent = builder.to_train(self._state, answer.center)
        layout = self._secure.layout
        trained = [spec.key for group in layout if group in said.groups for spec in layout[group]]
        expected = Expected(
            specs=masked_specs(layout),
            backbone_hash=hash_for(self._state, sent, builder.prepared.groups),
            stage=builder.stage.name,
            server_round=under_way.number,
            phase=phase_of(under_way.training.roles) if PEFT in under_way.training.groups else "",
            frozen_hash=frozen_hash(without_backbone(sent, builder.prepared.groups), sent, trained),
            registered_cases=0,
        )
        validate_masked(payload, expected)
        if found := [f"row '{key}' {why}" for key, row in payload.tensors.items() if (why := limb_finding(row))]:
            raise PayloadError(f"center '{answer.center}': {found[0]}; its masked rows are not summed")
        return said

    def _leave_out(self, answer: CenterAnswer) -> RoundRecord:
        """The record of an answer that could not be taken in."""
        stage, number = self._under_way.builder.stage, self._under_way.number
        self._said.pop(answer.center, None)
        self._inbox.discard(answer.center, stage.name, number)
        failed = Reply(answer.center, answer.reply.kind, error=UNREADABLE)
        return record_of(replace(answer, reply=failed), stage, number, UNREADABLE, {})


Taking = Intake | SummedRound
"""What takes the answers of a round: each center's own, or what shows their sum alone."""


def _check_finite(state: Checkpoint, stage: str) -> None:
    unsound = [key for key, array in {**state.memory, **state.shared}.items() if not np.isfinite(array).all()]
    if unsound:
        raise PayloadError(
            f"stage '{stage}', round {state.server_round}: the sum gives values that are not finite in {len(unsound)} "
            f"tensor(s), first '{unsound[0]}'; whose they are cannot be seen"
        )
