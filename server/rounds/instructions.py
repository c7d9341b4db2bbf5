"""What each center is told: instructions from the state of a study, and the tensors a center trains on or is served."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocol.messages.instruction import Instruction, Kind
from protocol.messages.secure_sum import SumRequest
from protocol.messages.settings import Statistic, Training
from protocol.messages.tensors import (
    BACKBONE,
    CENTER,
    PEFT,
    RESIDUAL,
    Tensors,
    TensorSpec,
    at_rank,
    groups_reached,
    is_statistic,
    kind_of,
    role_of,
)
from server.rounds.counted import last_counted
from server.rounds.transitions import base_of, hash_for, is_personal, of_groups
from server.study.checkpoint import Checkpoint
from server.study.directory import Prepared
from server.study.stage import Stage
from strategies.aggregation.residual import for_rank
from strategies.continual.terms import SERVED, terms_with_weight

State = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class InstructionBuilder:
    """What it takes to write to the centers in one stage: the study, the stage, and the frozen backbone's weights."""

    prepared: Prepared
    stage: Stage
    backbone: Tensors

    def training(self, state: Checkpoint, center: str, training: Training, number: int) -> Instruction:
        """Train one round."""
        tensors = self.to_train(state, center)
        compared = any(term.compares for term in terms_with_weight(training.terms))
        return self._instruction(
            "train",
            center,
            state,
            server_round=number,
            backbone_hash=hash_for(state, tensors, self.prepared.groups),
            training=training,
            continues=last_counted(state.history, self.stage, center) if training.recipe.optimiser == "kept" else 0,
            tensors={**tensors, **self._statistics(state, center, training)},
            reference=self._at_rank(self._reference(state.accepted), center) if compared else {},
        )

    def scoring(self, state: Checkpoint, center: str, row: str) -> Instruction:
        """Score the test cases with what the center is served."""
        tensors = self.to_serve(state, center)
        return self._instruction(
            "evaluate",
            center,
            state,
            stage=row,
            backbone_hash=hash_for(state, tensors, self.prepared.groups),
            tensors=tensors,
        )

    def comparison(self, state: Checkpoint, center: str) -> Instruction:
        """Score the candidate of the stage and what the center is served so far on the same validation cases.

        Of a stage that trains the backbone, under the settings that it trains on: no other pathway is trained yet.
        """
        tensors = self._work(state.shared, state.own, center)
        study, stage = self.prepared.study, self.stage
        return self._instruction(
            "compare",
            center,
            state,
            backbone_hash=hash_for(state, tensors, self.prepared.groups),
            training=study.training_in(stage, stage.warm_up_rounds) if BACKBONE in stage.trained else None,
            tensors=tensors,
            reference=self._work(state.branches.get(center, state.accepted), state.accepted_own, center),
        )

    def observation(self, state: Checkpoint, center: str, statistics: tuple[Statistic, ...]) -> Instruction:
        """Return statistics of the training cases under the shared tensors."""
        return self._instruction(
            "observe",
            center,
            state,
            backbone_hash=state.backbone_hash,
            tensors=self.to_train(state, center),
            statistics=statistics,
        )

    def collection(self, state: Checkpoint, center: str) -> Instruction:
        """Send the oldest update that waits there."""
        return self._instruction("collect", center, state, server_round=state.server_round + 1)

    def of_sum(
        self, kind: Kind, state: Checkpoint, center: str, number: int, request: SumRequest | None, row: str = ""
    ) -> Instruction:
        """A phase of a sum around round `number`, in which nothing is trained; `row`: of test scores, where it is."""
        stage = row or self.stage.name
        return self._instruction(kind, center, state, server_round=number, secure=request, stage=stage)

    def to_train(self, state: Checkpoint, center: str) -> State:
        """The shared tensors, at the center's rank, and what is the center's own."""
        return {**self._at_rank(state.shared, center), **self._own(state.own, center)}

    def to_serve(self, state: Checkpoint, center: str) -> State:
        """What the center works with: its branch or the shared tensors, and its own over them."""
        return self._work(state.branches.get(center, state.shared), state.own, center)

    def specs_of(self, training: Training, center: str) -> tuple[TensorSpec, ...]:
        """The tensors that a center may send after a round: live roles at its own rank, and statistics about them.

        None of a group whose modalities the study does not give the center: it has no case that reaches them.
        """
        known = self.prepared.study.centers[center]
        reached = groups_reached(training.groups, known.modalities)
        specs = [
            at_rank(spec, known.rank)
            for spec in self.prepared.specs
            if spec.group in reached and (kind_of(spec.group) != PEFT or role_of(spec.key) in training.roles)
        ]
        endings = [ending for term in terms_with_weight(training.terms) for ending in term.return_endings]
        statistics = [TensorSpec(spec.key + ending, spec.group, spec.shape) for spec in specs for ending in endings]
        return (*specs, *statistics)

    def _instruction(self, kind: Kind, center: str, state: Checkpoint, **fields: Any) -> Instruction:
        """Of this stage and the round that is kept, unless `fields` say another."""
        place = {"stage": self.stage.name, "server_round": state.server_round, "task": self.stage.task}
        return Instruction(kind=kind, settings=self.prepared.study.settings_for(center), **{**place, **fields})

    def _work(self, shared: Tensors, own: Mapping[str, Tensors], center: str) -> State:
        """Shared tensors with what is the center's own over them: copies of them, what it keeps, what is personal."""
        copies = {
            key.removesuffix(ending): array
            for key, array in own.get(center, {}).items()
            for ending in SERVED
            if key.endswith(ending)
        }
        return {**self._at_rank(shared, center), **copies, **self._own(own, center)}

    def _reference(self, tensors: Tensors) -> State:
        """What an earlier stage has trained of the shared tensors: nothing that has just been drawn is a reference."""
        study = self.prepared.study
        before = study.stages[: study.stages.index(self.stage)]
        trained = {group for stage in before for group in stage.trained} - {BACKBONE}
        return of_groups(tensors, self.prepared.groups, trained | ({RESIDUAL} if PEFT in trained else set()))

    def _at_rank(self, shared: Tensors, center: str) -> State:
        rank = self.prepared.study.centers[center].rank
        if rank is None or not any(role_of(key) for key in shared):
            return dict(shared)
        return dict(for_rank(shared, rank, base_of(self.prepared, self.backbone, roles=(), seed=0)))

    def _own(self, own: Mapping[str, Tensors], center: str) -> State:
        """What is personal to the center, fresh where it has not trained it, and what the scheme lets it keep."""
        study = self.prepared.study
        keeps = study.scheme_of(self.stage).keeps
        personal = BACKBONE not in self.stage.trained
        fresh = of_groups(self.prepared.initial, self.prepared.groups, {CENTER}) if personal else {}
        mine = {
            key: array
            for key, array in own.get(center, {}).items()
            if not is_statistic(key) and (keeps(key) or (personal and is_personal(key, study)))
        }
        return {**fresh, **mine}

    def _statistics(self, state: Checkpoint, center: str, training: Training) -> State:
        """What the round's local terms remember: of all centers, and what this one returned itself."""
        terms, own = list(terms_with_weight(training.terms)), state.own.get(center, {})
        wanted = [(ending, state.memory) for term in terms for ending in term.memory_endings]
        wanted += [(ending, own) for term in terms for ending in term.return_endings]
        return {key: array for ending, source in wanted for key, array in source.items() if key.endswith(ending)}
