"""The round loop: stages in order, rounds in each, and after every round a checkpoint from which a run continues.

    enter stage -> [ instruct -> collect -> validate -> aggregate -> checkpoint ] x rounds
                -> no-harm gate -> observe -> score test cases -> bank

One message a center and round: the center scores the state it received on validation cases, trains, and replies.
Accepted payloads wait on disk and are aggregated from there one at a time, in the order of center names.
"""

import logging
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from protocol.errors import NO_ANSWER, ConciliumError
from protocol.messages.instruction import Instruction
from protocol.messages.tensors import BACKBONE, PEFT, Tensors
from server.grid.center_answer import CenterAnswer
from server.grid.center_grid import CenterGrid
from server.results.result import Status
from server.rounds import closing, gate_step
from server.rounds.backbone_shipping import BackboneShipping
from server.rounds.banking import bank_stage, current_shared
from server.rounds.clipping import clip_roots
from server.rounds.dispatcher import Dispatcher, NotAgreed, TurnedAway, no_answers
from server.rounds.inbox import Inbox
from server.rounds.instructions import InstructionBuilder
from server.rounds.intake import Intake
from server.rounds.late_updates import LateUpdates
from server.rounds.outputs import write_outputs
from server.rounds.reply_bounds import reply_bounds
from server.rounds.round_under_way import RoundUnderWay
from server.rounds.summed_round import SummedRound, Taking
from server.rounds.summed_scores import summed_scores_of
from server.rounds.transitions import after_warm_up, enter_stage, leave_stage
from server.rounds.weighing import agree
from server.study import events
from server.study.checkpoint import Checkpoint
from server.study.directory import Prepared, StudyDirectory, read_prepared
from server.study.events import Listen
from server.study.history import RoundRecord, StageRow
from server.study.recorder import Recorder
from server.study.stage import INITIAL, Stage
from server.study.versions import is_extended
from server.tracking.background import BackgroundTracker
from server.tracking.remote import make_tracker
from strategies.bank.bank import AdapterBank

logger = logging.getLogger(__name__)

Ending = Literal["complete", "extended"]
FRESH = Checkpoint(stage_index=0, server_round=0, backbone_hash="", shared={})


class StudyRun:
    """One run of one study; its state is `state`, everything else is fixed."""

    def __init__(
        self,
        center_grid: CenterGrid,
        root: Path,
        tell: Listen,
        tracking_uri: str | None,
        turned_away: TurnedAway,
        not_agreed: NotAgreed,
    ) -> None:
        self._tell, self.tracking_uri = tell, tracking_uri
        self.directory = StudyDirectory(root)
        self._text = self.directory.study_file.read_bytes()  # before it is parsed: what comes in between is seen later
        self.prepared: Prepared = read_prepared(root)
        self.study = self.prepared.study
        self.recorder = Recorder(self.directory)
        adapter_config, record = self.prepared.adapter_config, self.recorder.log.record
        self.bank = AdapterBank.create(self.directory.bank, self.study.settings, adapter_config, record)
        self.state = self.recorder.load() or FRESH
        self.inbox = Inbox(root / "inbox")
        self.late = LateUpdates(self.inbox, tell, self.state.history.late)
        shipping = BackboneShipping(self.bank, self.directory.backbones, self.study.backbone_by_message_bytes)
        self.dispatcher = Dispatcher(
            center_grid, self.study, shipping, turned_away=turned_away, not_agreed=not_agreed, tell=tell
        )
        center_grid.expect(reply_bounds(self.prepared))
        self.summed = summed_scores_of(self.study, self.directory.roster, self._ask_all, turned_away)
        self._clock = time.monotonic()

    def run(self) -> Ending:
        """All stages that are left, then the outputs; what was completed is written out also when a stage fails.

        Between two stages it ends as "extended" where the study file has become another, for which a run begins anew.
        """
        tracking = dict(self.state.tracking)
        made = make_tracker(self.directory.root, self.study, run_ids=tracking, tracking_uri=self.tracking_uri)
        with BackgroundTracker(made) as self.tracker:
            self.recorder.start(self.state, self.bank)
            self._save()
            self._tell(events.Resumed(self.state.server_round))
            self.tracker.catch_up(self.state)
            try:
                self._run_stages()
            except BaseException as error:
                self._tell(events.Ended(error))
                self._leave_what_is_there("failed" if isinstance(error, Exception) else "interrupted")
                raise
            if is_extended(self.directory, self._text):
                return "extended"
            self._write_outputs("complete")
        self._tell(events.Ended(None))
        return "complete"

    def _run_stages(self) -> None:
        for index in range(self.state.stage_index, len(self.study.stages)):
            stage = self.study.stages[index]
            self._set_late_aside(self.dispatcher.register(stage.name, stage.centers))
            self.state = agree(self.state, self.dispatcher.cases)
            before = sum(earlier.all_rounds for earlier in self.study.stages[:index])
            if self.state.server_round == before and not self.state.done:
                self._enter(stage)
            builder = self._builder(stage)
            for completed in range(self.state.server_round - before, stage.all_rounds):
                self._round(builder, completed)
            self._close(builder)
            following = self.study.stages[index + 1] if index + 1 < len(self.study.stages) else None
            self.state = leave_stage(self.state, stage, following, self.study)
            self.tracker.wait_for_runs()
            self._save()
            self.recorder.keep_stage(self.state)
            if is_extended(self.directory, self._text):
                return

    def _enter(self, stage: Stage) -> None:
        """Start a stage from the version of the shared adapter in use; without pretraining, score it first."""
        shared = current_shared(self.bank, self.state, self.prepared.groups)
        self.state = enter_stage(replace(self.state, shared=shared), stage, self.prepared, self.bank)
        first = stage is self.study.stages[0] and stage.kind != "pretrain"
        if first and not self.state.history.rows:
            self._score(self._builder(stage), INITIAL)

    def _builder(self, stage: Stage) -> InstructionBuilder:
        backbone = {} if BACKBONE in stage.trained else self.bank.backbone(self.state.backbone_hash)
        return InstructionBuilder(self.prepared, stage, backbone)

    def _round(self, builder: InstructionBuilder, completed: int) -> None:
        """One round: instruct, collect, validate, aggregate, checkpoint.

        Raises:
            QuorumError: fewer payloads than the quorum could be accepted.
        """
        stage, number = builder.stage, self.state.server_round + 1
        training, centers = self.study.training_in(stage, completed), self.study.takes_part(stage, completed)
        under_way = RoundUnderWay(builder, training, number)
        self._tell(events.RoundStarted(stage, completed + 1, centers))
        self._set_late_aside(self.dispatcher.register_arrivals(centers))
        self.state = agree(self.state, self.dispatcher.cases)
        for answers in self.late.collect(self.dispatcher, builder, self.state):
            self.state = closing.record_queries(self.state, stage, answers)
        self.inbox.clear(stage.name, number)
        here = [name for name in centers if name in self.dispatcher.cases]
        taking = self._open_round(under_way, here)
        records = self._collect(under_way, here, taking)
        turned_away = self.dispatcher.turned_away()
        for center in [center for center in centers if center not in records]:
            records[center] = RoundRecord(stage.name, number, center, error=turned_away.get(center, NO_ANSWER))
            self._tell(events.CenterAnswered(records[center]))
        before = len(self.state.history.rollbacks)
        self.state = taking.conclude(self.state, [records[center] for center in centers])
        if completed + 1 == stage.warm_up_rounds:
            self.state = after_warm_up(self.state)
        self._save()
        for rollback in self.state.history.rollbacks[before:]:
            self._tell(events.RolledBack(rollback))
        self._tell(events.RoundKept(number))
        self.inbox.clear(stage.name, number)
        self.tracker.catch_up(self.state)

    def _open_round(self, under_way: RoundUnderWay, centers: Collection[str]) -> Taking:
        """What takes the answers of a round: each center's own, or what shows their sum alone."""
        if self.study.secure_aggregation is None:
            beside = self._observe_beside(under_way, centers)
            return Intake(under_way, self.state, self.inbox, self.late, beside)
        return SummedRound(under_way, self.state, self.directory.roster, self.inbox, self._ask_all, centers)

    def _collect(self, under_way: RoundUnderWay, centers: Collection[str], taking: Taking) -> dict[str, RoundRecord]:
        """Ask the centers; what may be aggregated goes to the inbox, what happened into a record for each."""
        records: dict[str, RoundRecord] = {}
        for answer in self._ask(taking.instruct({name: under_way.instruction(self.state, name) for name in centers})):
            records[answer.center] = taking.take_in(answer, self.dispatcher.cases[answer.center]["train"])
            self._tell(events.CenterAnswered(records[answer.center]))
        return records

    def _observe_beside(self, under_way: RoundUnderWay, centers: Collection[str]) -> Mapping[str, Tensors] | None:
        """The statistics that the scheme weighs payloads by, asked for before the round; None where it needs none."""
        builder = under_way.builder
        wanted = self.study.scheme_of(builder.stage).observes
        if not wanted or PEFT not in under_way.training.groups:
            return None
        answers = closing.ask_observations(self.state, builder, wanted, centers, self.dispatcher.cases, self._ask_all)
        self.state = closing.record_queries(self.state, builder.stage, answers)
        return clip_roots({name: answer.reply.tensors for name, answer in answers.items() if answer.reply.payload})

    def _close(self, builder: InstructionBuilder) -> None:
        """The closing steps of a stage that are not behind yet, each with its checkpoint."""
        if "gate" not in self.state.done:
            self._decide(builder)
            self._save()
            for record in self.state.history.gates:
                if record.stage == builder.stage.name:
                    self._tell(events.GateDecided(record))
            self.tracker.catch_up(self.state)
        if "observe" not in self.state.done:
            wanted = closing.statistics_to_remember(self.study, builder.stage)
            given = (self.state, builder, wanted, builder.stage.centers, self.dispatcher.cases, self._ask_all)
            self.state = closing.observe(self.state, builder, closing.ask_observations(*given))
            self._save()
        if "score" not in self.state.done:
            self._score(builder, builder.stage.name)
        bank_stage(self.bank, self.state, builder, self.study)
        self.tracker.catch_up(self.state)

    def _decide(self, builder: InstructionBuilder) -> None:
        asked = gate_step.comparisons(self.state, builder)
        self._set_late_aside(self.dispatcher.register_arrivals(asked))
        self.state = agree(self.state, self.dispatcher.cases)
        if asked and self.summed is not None:
            self.state = self.summed.decide(self.state, builder, asked)
            return
        counted, answers, gone = self.state.agreed_validation_cases, self._ask_all(asked), self.dispatcher.turned_away()
        self.state = gate_step.run_gate(self.state, builder, answers, registered=counted, gone=gone)

    def _row(self, builder: InstructionBuilder, row_name: str, centers: Collection[str]) -> StageRow:
        if self.summed is not None:
            self._set_late_aside(self.dispatcher.register_arrivals(centers))
            return self.summed.score(self.state, builder, row_name, self.dispatcher.cases)
        return closing.score(row_name, self._ask_all({c: builder.scoring(self.state, c, row_name) for c in centers}))

    def _score(self, builder: InstructionBuilder, row_name: str) -> None:
        """A row of the evaluation matrix."""
        centers = tuple(name for name, center in self.study.centers.items() if center.evaluated)
        self._tell(events.ScoringStarted(row_name, centers))
        row = self._row(builder, row_name, centers)
        history = replace(self.state.history, rows=(*self.state.history.rows, row))
        done = ("score",) if row_name == builder.stage.name else ()
        self.state = replace(self.state, history=history, done=(*self.state.done, *done))
        self._save()
        self.tracker.catch_up(self.state)
        self._tell(events.StageScored(row))

    def _ask(self, instructions: Mapping[str, Instruction]) -> Iterator[CenterAnswer]:
        """The answers that come in time, each as it comes."""
        acknowledging = self.late.acknowledge(instructions, self.state)
        return self.late.in_time(self.dispatcher.ask(acknowledging), self.state)

    def _ask_all(self, instructions: Mapping[str, Instruction]) -> dict[str, CenterAnswer]:
        """Every center's answer; a center that did not answer has the error "no-answer"."""
        if not instructions:
            return {}
        return {**no_answers(instructions), **{answer.center: answer for answer in self._ask(instructions)}}

    def _set_late_aside(self, late: Iterable[CenterAnswer]) -> None:
        """Read to the end an iterator of late answers alone."""
        for answer in late:
            self.late.set_aside(answer.reply, self.state)

    def _save(self) -> None:
        now = time.monotonic()
        elapsed_s, self._clock = self.state.elapsed_s + now - self._clock, now
        self.state = replace(self._with_late(), elapsed_s=elapsed_s, tracking=self.tracker.run_ids)
        self.recorder.save(self.state)

    def _with_late(self) -> Checkpoint:
        """The state with what is known of late updates, which come at any time."""
        return replace(self.state, history=replace(self.state.history, late=self.late.records))

    def _write_outputs(self, status: Status) -> None:
        write_outputs(
            self.directory, self.prepared, self._with_late(), self.bank, self.tracker, self.dispatcher.cases, status
        )
        self.recorder.end(self.state, status)

    def _leave_what_is_there(self, status: Status) -> None:
        """The outputs of a run that ends early; trouble here must not hide why it ended."""
        try:
            self._write_outputs(status)
        except ConciliumError as error:
            logger.warning("the outputs of the %s run could not be written: %s", status, error)
