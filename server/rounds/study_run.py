"""The round loop: stages in order, rounds in each, and after every round a checkpoint from which a run continues.

    enter stage -> [ instruct -> collect -> accept -> aggregate -> checkpoint ] x rounds
                -> no-harm gate -> observe -> score test cases -> bank

One message a center and round: the center scores the state it received on validation cases, trains, and replies.
Accepted payloads wait on disk and are aggregated from there one at a time, in the order of center names.
"""

import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from protocol.errors import NO_ANSWER, ConciliumError, LateError
from protocol.messages.payload import Payload
from protocol.messages.settings import Training
from protocol.messages.tensors import BACKBONE, PEFT, PERSONAL, Tensors
from server.grid.center_grid import CenterGrid
from server.results.result import Status
from server.rounds.backbone_shipping import BackboneShipping
from server.rounds.banking import bank_stage, rolled_back
from server.rounds.closing import gated, observations, observed, record_queries, scored
from server.rounds.dispatcher import CenterAnswer, Dispatcher, TurnedAway, nobody
from server.rounds.inbox import Inbox
from server.rounds.instructions import InstructionBuilder
from server.rounds.late_updates import LateUpdates
from server.rounds.outputs import write_outputs
from server.rounds.records import record_of
from server.rounds.round_under_way import RoundUnderWay
from server.rounds.transitions import after_round, after_warm_up, enter_stage, leave_stage
from server.study import checkpoint as checkpoints
from server.study.checkpoint import Checkpoint
from server.study.directory import Prepared, StudyDirectory, read_prepared
from server.study.events import Listener
from server.study.file import INITIAL, Stage
from server.study.history import RoundRecord
from server.study.lock import held
from server.tracking.remote import open_tracker
from strategies.bank.bank import AdapterBank

logger = logging.getLogger(__name__)

FRESH = Checkpoint(stage_index=0, server_round=0, backbone_hash="", shared={})


def run_study(
    center_grid: CenterGrid,
    root: Path,
    *,
    listener: Listener | None = None,
    tracking_uri: str | None = None,
    turned_away: TurnedAway = nobody,
) -> None:
    """Run a prepared study from its last completed round to its end, and leave its outputs in `root`.

    Args:
        center_grid: the way to the centers.
        root: the study's directory.
        listener: told of what happens.
        tracking_uri: of an MLflow server; None keeps the tracking in `root`.
        turned_away: read whenever centers are asked: those that nobody asks any more, each with an error code.

    Raises:
        StudyError: the directory holds no study, another process runs it, or a center of it cannot take part.
        QuorumError: too few centers answered a round; everything before it is kept.
        StorageError: the disk refuses; the last checkpoint is untouched.
    """
    with held(StudyDirectory(root).lock):
        StudyRun(center_grid, root, listener or Listener(), tracking_uri, turned_away).run()


class StudyRun:
    """One run of one study; its state is `state`, everything else is fixed."""

    def __init__(
        self, center_grid: CenterGrid, root: Path, listener: Listener, tracking_uri: str | None, turned_away: TurnedAway
    ) -> None:
        self.listener, self.tracking_uri = listener, tracking_uri
        self.directory = StudyDirectory(root)
        self.prepared: Prepared = read_prepared(root)
        self.study = self.prepared.study
        self.bank = AdapterBank.create(self.directory.bank, self.study.settings, self.prepared.adapter_config)
        self.state = checkpoints.load(self.directory.checkpoint) or FRESH
        self.inbox = Inbox(root / "inbox")
        self.late = LateUpdates(self.inbox, listener, self.state.history.late)
        self.dispatcher = Dispatcher(
            center_grid,
            self.study,
            BackboneShipping(self.bank, self.directory.backbones, self.study.backbone_by_message_bytes),
            on_late=lambda _center, reply: self.late.take(reply, self.state),
            acknowledged=lambda center: self.late.acknowledged(center, self.state),
            turned_away=turned_away,
        )
        self._clock = time.monotonic()

    def run(self) -> None:
        """All stages that are left, then the outputs; what was completed is written out also when a stage fails."""
        tracking = dict(self.state.tracking)
        with open_tracker(
            self.directory.root, self.study, run_ids=tracking, tracking_uri=self.tracking_uri
        ) as self.tracker:
            self._save()
            self.listener.resumed(self.state.server_round)
            self.tracker.catch_up(self.state)
            try:
                self._run_stages()
            except BaseException as error:
                self.listener.ended(error)
                self._leave_what_is_there("failed" if isinstance(error, Exception) else "interrupted")
                raise
            self._write_outputs("complete")
        self.listener.ended(None)

    def _run_stages(self) -> None:
        for index in range(self.state.stage_index, len(self.study.stages)):
            stage = self.study.stages[index]
            self.dispatcher.register(stage.name, stage.centers)
            before = sum(earlier.all_rounds for earlier in self.study.stages[:index])
            if self.state.server_round == before and not self.state.done:
                self._enter(stage)
            builder = self._builder(stage)
            for completed in range(self.state.server_round - before, stage.all_rounds):
                self._round(builder, completed)
            self._close(builder)
            following = self.study.stages[index + 1] if index + 1 < len(self.study.stages) else None
            self.state = leave_stage(self.state, stage, following, self.study)
            self._save()

    def _enter(self, stage: Stage) -> None:
        """Start a stage from the version of the shared adapter in use; without pretraining, score it first."""
        shared = rolled_back(self.bank, self.state, self.prepared.groups)
        self.state = enter_stage(replace(self.state, shared=shared), stage, self.prepared, self.bank)
        first = stage is self.study.stages[0] and stage.kind != "pretrain"
        if first and not self.state.history.rows:
            self._score(self._builder(stage), INITIAL)

    def _builder(self, stage: Stage) -> InstructionBuilder:
        backbone = {} if BACKBONE in stage.trained else self.bank.backbone(self.state.backbone_hash)
        return InstructionBuilder(self.prepared, stage, backbone)

    def _round(self, builder: InstructionBuilder, completed: int) -> None:
        """One round: instruct, collect, accept, aggregate, checkpoint.

        Raises:
            QuorumError: fewer payloads than the quorum could be accepted.
        """
        stage, number = builder.stage, self.state.server_round + 1
        training, centers = self.study.training_in(stage, completed), self.study.takes_part(stage, completed)
        under_way = RoundUnderWay(builder, training, number)
        self.listener.round_started(stage, completed + 1, centers)
        self.dispatcher.welcome(centers)
        for answers in self.late.collect(self.dispatcher, builder, self.state):
            self.state = record_queries(self.state, stage, answers)
        self.inbox.clear(stage.name, number)
        records = self._collected(under_way, [name for name in centers if name in self.dispatcher.cases])
        turned_away = self.dispatcher.turned_away()
        for center in [center for center in centers if center not in records]:
            records[center] = RoundRecord(stage.name, number, center, error=turned_away.get(center, NO_ANSWER))
            self.listener.center_answered(records[center])
        if not set(training.groups) <= set(PERSONAL):
            under_way.check_quorum(records)
        new = tuple(records[center] for center in centers)
        history = replace(self.state.history, rounds=(*self.state.history.rounds, *new))
        payloads = self.inbox.payloads(stage.name, number)
        state, base = replace(self.state, history=history), under_way.base
        self.state = after_round(state, stage, training, payloads, base, self.study)
        if completed + 1 == stage.warm_up_rounds:
            self.state = after_warm_up(self.state)
        self._save()
        self.listener.round_kept(number)
        self.inbox.clear(stage.name, number)
        self.tracker.catch_up(self.state)

    def _collected(self, under_way: RoundUnderWay, centers: Collection[str]) -> dict[str, RoundRecord]:
        """Ask the centers; what may be aggregated goes to the inbox, what happened into a record for each."""
        builder, training, number = under_way.builder, under_way.training, under_way.number
        records: dict[str, RoundRecord] = {}
        beside = self._observed_beside(builder, training, centers)

        def take(answer: CenterAnswer) -> None:
            center, payload = answer.reply.center, answer.reply.payload
            norms, error = under_way.accepted(answer.reply, self.state, self.dispatcher.cases[center]["train"])
            if not error and payload is not None:
                error = self._put(payload, beside)
            elif error == LateError.code:
                self.late.take(answer.reply, self.state)
            records[center] = record_of(answer, builder.stage, number, error, norms)
            self.listener.center_answered(records[center])

        self.dispatcher.ask({name: builder.training(self.state, name, training, number) for name in centers}, take)
        return records

    def _put(self, payload: Payload, beside: Mapping[str, Tensors] | None) -> str:
        """Put a payload with the statistics its scheme needs into the inbox; an error code where those are missing."""
        if beside is not None and payload.center not in beside:
            return "not-observed"
        self.inbox.put(replace(payload, tensors={**payload.tensors, **(beside or {}).get(payload.center, {})}))
        return ""

    def _observed_beside(
        self, builder: InstructionBuilder, training: Training, centers: Collection[str]
    ) -> dict[str, Tensors] | None:
        """The statistics that the scheme weighs payloads by, asked for before the round; None where it needs none."""
        wanted = self.study.scheme_of(builder.stage).observes
        if not wanted or PEFT not in training.groups:
            return None
        answers = observations(self.state, builder, self.dispatcher, wanted, centers)
        self.state = record_queries(self.state, builder.stage, answers)
        return {name: answer.reply.payload.tensors for name, answer in answers.items() if answer.reply.payload}

    def _close(self, builder: InstructionBuilder) -> None:
        """The closing steps of a stage that are not behind yet, each with its checkpoint."""
        if "gate" not in self.state.done:
            self.state = gated(self.state, builder, self.dispatcher)
            self._save()
            for record in self.state.history.gates:
                if record.stage == builder.stage.name:
                    self.listener.gate_decided(record)
            self.tracker.catch_up(self.state)
        if "observe" not in self.state.done:
            self.state = observed(self.state, builder, self.dispatcher)
            self._save()
        if "score" not in self.state.done:
            self._score(builder, builder.stage.name)
        bank_stage(self.bank, self.state, builder, self.study)
        self.tracker.catch_up(self.state)

    def _score(self, builder: InstructionBuilder, row_name: str) -> None:
        """A row of the evaluation matrix."""
        centers = [name for name, center in self.study.centers.items() if center.evaluated]
        self.listener.scoring_started(row_name, centers)
        row = scored(self.state, builder, self.dispatcher, row_name, centers)
        history = replace(self.state.history, rows=(*self.state.history.rows, row))
        done = ("score",) if row_name == builder.stage.name else ()
        self.state = replace(self.state, history=history, done=(*self.state.done, *done))
        self._save()
        self.tracker.catch_up(self.state)
        self.listener.stage_scored(row)

    def _save(self) -> None:
        now = time.monotonic()
        elapsed_s = self.state.elapsed_s + now - self._clock
        self.state = replace(self._with_late(), elapsed_s=elapsed_s, tracking=self.tracker.run_ids)
        self._clock = now
        checkpoints.save(self.directory.checkpoint, self.state)

    def _with_late(self) -> Checkpoint:
        """The state with what is known of late updates, which come at any time."""
        return replace(self.state, history=replace(self.state.history, late=self.late.records))

    def _write_outputs(self, status: Status) -> None:
        write_outputs(
            self.directory, self.prepared, self._with_late(), self.bank, self.tracker, self.dispatcher.cases, status
        )

    def _leave_what_is_there(self, status: Status) -> None:
        """The outputs of a run that ends early; trouble here must not hide why it ended."""
        try:
            self._write_outputs(status)
        except ConciliumError as error:
            logger.warning("the outputs of the %s run could not be written: %s", status, error)
