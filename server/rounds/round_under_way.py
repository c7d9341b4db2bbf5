"""What of a center's answer may enter a round: its payload checked against what the center was sent, and the quorum."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from protocol.errors import PayloadError, QuorumError
from protocol.local_steps import Reach, reach_of
from protocol.messages.instruction import Instruction
from protocol.messages.payload import frozen_hash, phase_of
from protocol.messages.reply import Reply
from protocol.messages.settings import Training
from protocol.messages.tensors import PEFT
from protocol.validation import Expected, update_norms, validate
from server.rounds.instructions import InstructionBuilder
from server.rounds.records import gain_findings, norm_medians
from server.rounds.starts import starts_of
from server.rounds.transitions import base_of, hash_for, without_backbone
from server.study.checkpoint import Checkpoint
from server.study.history import History, RoundRecord
from strategies.aggregation.contract import Base

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RoundUnderWay:
    """One round: who writes the instructions, how the centers train, and its number in the study."""

    builder: InstructionBuilder
    training: Training
    number: int

    @cached_property
    def base(self) -> Base:
        """What stands fixed in the round, as aggregation wants it."""
        return base_of(self.builder.prepared, self.builder.backbone, roles=self.training.roles, seed=self.number)

    def instruction(self, state: Checkpoint, center: str) -> Instruction:
        """What a center is told to train."""
        return self.builder.training(state, center, self.training, self.number)

    def reach(self, key: str = "") -> Reach:
        """How far the round can take an entry of a tensor, with what moments of the stage may have been kept."""
        study, stage = self.builder.prepared.study, self.builder.stage
        before = sum(earlier.all_rounds for earlier in study.stages[: study.stages.index(stage)])
        return reach_of(self.training, key, max(0, self.number - 1 - before))

    def check(self, reply: Reply, state: Checkpoint, registered_cases: int) -> tuple[dict[str, float], str]:
        """The norms of an update that may enter the arithmetic, or the error code that stands in the record."""
        if reply.error or reply.payload is None:
            return {}, reply.error or "no-payload"
        builder, groups = self.builder, self.builder.prepared.groups
        sent, start = builder.to_train(state, reply.center), self.starts(state, reply.center)
        phase = phase_of(self.training.roles) if PEFT in self.training.groups else ""
        try:
            expected = Expected(
                specs=builder.specs_of(self.training, reply.center),
                backbone_hash=hash_for(state, sent, groups),
                stage=builder.stage.name,
                server_round=self.number,
                phase=phase,
                frozen_hash=frozen_hash(without_backbone(sent, groups), sent, reply.payload.tensors),
                registered_cases=registered_cases,
                gains=partial(gain_findings, start=start, base=self.base),
                start=start,
                reach=self.reach,
                medians=self.medians(state.history, phase),
            )
            validate(reply.payload, expected)
        except PayloadError as error:
            logger.warning("%s", error)
            return {}, error.code
        return update_norms(reply.payload, start, builder.prepared.specs), ""

    def medians(self, history: History, phase: str) -> Mapping[str, float]:
        """`norm_medians` of a phase, read once for all centers of the round."""
        known = self._medians.get(phase)
        if known is None or known[0] is not history.rounds:
            known = self._medians[phase] = history.rounds, norm_medians(history.rounds, self.builder.stage, phase)
        return known[1]

    @cached_property
    def _medians(self) -> dict[str, tuple[tuple[RoundRecord, ...], Mapping[str, float]]]:
        return {}

    def starts(self, state: Checkpoint, center: str) -> dict[str, NDArray[np.floating]]:
        """What a center was sent, and what its tensors began from that were not."""
        sent = self.builder.to_train(state, center)
        specs = self.builder.specs_of(self.training, center)
        return {**sent, **starts_of(specs, sent, state.own.get(center, {}), self.base)}

    def check_quorum(self, records: Mapping[str, RoundRecord]) -> None:
        """Refuse to go on with too few.

        Raises:
            QuorumError: fewer than the quorum have a record without error; names every center with its error.
        """
        needed = self.builder.prepared.study.quorum_of(len(records))
        usable = sum(not record.error for record in records.values())
        if usable < needed:
            found = ", ".join(f"{name}: {record.error or 'ok'}" for name, record in sorted(records.items()))
            raise QuorumError(
                f"stage '{self.builder.stage.name}', round {self.number}: {usable} of {len(records)} center(s) sent "
                f"usable tensors, quorum is {needed} ({found}). Round {self.number - 1} is kept; resume when they are "
                "back"
            )
