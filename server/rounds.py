"""The round loop: stages in order, rounds in each, and after every round a checkpoint from which a run continues.

    enter stage -> [ instruct -> collect -> admit -> aggregate -> checkpoint ] x rounds
                -> no-harm gate -> observe -> score test cases -> bank

One message a center and round: the center scores the state it received on validation cases, trains, and replies.
Admitted payloads wait on disk and are aggregated from there one at a time, in the order of center names.
"""

import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from itertools import accumulate
from pathlib import Path

from server import checkpoint as checkpoints
from server.banking import bank_stage, rolled_back
from server.checkpoint import Checkpoint
from server.closing import gated, observations, observed, scored, with_errands
from server.correspondence import Answer, Correspondence
from server.directory import Prepared, StudyDirectory, read_prepared
from server.fleet import Fleet
from server.history import RoundRecord
from server.inbox import Inbox
from server.messages import Desk
from server.outputs import write_outputs
from server.progress import Listener
from server.records import gain_findings, norm_medians, record_of
from server.result import Status
from server.study import INITIAL, Stage
from server.tracking import Tracker
from server.transitions import after_round, after_warm_up, base_of, enter_stage, hash_for, leave_stage, without_backbone
from strategies.admission import admit, update_norms
from strategies.aggregation.contract import Base
from strategies.bank import AdapterBank
from strategies.errors import ConciliumError, PayloadError, QuorumError
from strategies.instruction import Reply
from strategies.payload import Payload, frozen_hash, phase_of
from strategies.settings import Training
from strategies.tensors import BACKBONE, PEFT, PERSONAL, Tensors

logger = logging.getLogger(__name__)

FRESH = Checkpoint(stage_index=0, server_round=0, backbone_hash="", shared={})


def run_study(fleet: Fleet, root: Path, *, listener: Listener | None = None, tracking_uri: str | None = None) -> None:
    """Run a prepared study from its last completed round to its end, and leave its outputs in `root`.

    Raises:
        StudyError: the directory holds no study, or a center of the study cannot take part.
        QuorumError: too few centers answered a round; everything before it is kept.
        StorageError: the disk refuses; the last checkpoint is untouched.
    """
    Coordinator(fleet, root, listener or Listener(), tracking_uri).run()


class Coordinator:
    """One run of one study; its state is `state`, everything else is fixed."""

    def __init__(self, fleet: Fleet, root: Path, listener: Listener, tracking_uri: str | None) -> None:
        self.listener, self.tracking_uri = listener, tracking_uri
        self.directory = StudyDirectory(root)
        self.prepared: Prepared = read_prepared(root)
        self.study = self.prepared.study
        self.bank = AdapterBank.create(self.directory.bank, self.study.settings, self.prepared.adapter_config)
        self.inbox = Inbox(root / "inbox")
        self.letters = Correspondence(fleet, self.study, self.bank, on_late=self._set_aside)
        self.state = checkpoints.load(self.directory.checkpoint) or FRESH
        self._clock = time.monotonic()

    def run(self) -> None:
        """All stages that are left, then the outputs; what was completed is written out also when a stage fails."""
        tracking = dict(self.state.tracking)
        with Tracker.open(
            self.directory.root, self.study, run_ids=tracking, tracking_uri=self.tracking_uri
        ) as self.tracker:
            self.state = replace(self.state, tracking=self.tracker.run_ids)
            self._save()
            self.listener.resumed(self.state.server_round)
            self._log_again()
            try:
                self._run_stages()
            except BaseException as error:
                self._leave_what_is_there("failed" if isinstance(error, Exception) else "interrupted")
                raise
            self._write_outputs("complete")

    def _log_again(self) -> None:
        """Bring MLflow up to the checkpoint: an interruption may have come between the two; what is there stays."""
        ends = accumulate(stage.all_rounds for stage in self.study.stages)
        steps = dict(zip((stage.name for stage in self.study.stages), ends, strict=True))
        for record in self.state.history.rounds:
            self.tracker.log_round(record)
        for row in self.state.history.rows:
            self.tracker.log_row(row, steps.get(row.stage, 0))
        for figures in self.state.history.aggregations:
            self.tracker.log_aggregation(figures)
        for gate in self.state.history.gates:
            self.tracker.log_gate(gate, steps.get(gate.stage, 0))

    def _run_stages(self) -> None:
        for index in range(self.state.stage_index, len(self.study.stages)):
            stage = self.study.stages[index]
            self.letters.register(stage.name, stage.centers)
            before = sum(earlier.all_rounds for earlier in self.study.stages[:index])
            if self.state.server_round == before and not self.state.done:
                self._enter(stage)
            if self.state.backbone_hash:
                self.tracker.log_backbone(self.state.backbone_hash)
            desk = self._desk(stage)
            for completed in range(self.state.server_round - before, stage.all_rounds):
                self._round(desk, completed)
            self._close(desk)
            following = self.study.stages[index + 1] if index + 1 < len(self.study.stages) else None
            self.state = leave_stage(self.state, stage, following, self.study)
            self._save()

    def _enter(self, stage: Stage) -> None:
        """Start a stage from the version of the shared adapter in use; without pretraining, score it first."""
        shared = rolled_back(self.bank, self.state, self.prepared.groups)
        self.state = enter_stage(replace(self.state, shared=shared), stage, self.prepared, self.bank)
        first = stage is self.study.stages[0] and stage.kind != "pretrain"
        if first and not self.state.history.rows:
            self._score(self._desk(stage), INITIAL)

    def _desk(self, stage: Stage) -> Desk:
        backbone = {} if BACKBONE in stage.trained else self.bank.backbone(self.state.backbone_hash)
        return Desk(self.prepared, stage, backbone)

    def _round(self, desk: Desk, completed: int) -> None:
        """One round: instruct, collect, admit, aggregate, checkpoint.

        Raises:
            QuorumError: fewer payloads than the quorum could be admitted.
        """
        stage, number = desk.stage, self.state.server_round + 1
        training, centers = self.study.training_in(stage, completed), self.study.takes_part(stage, completed)
        self.listener.round_started(stage, completed + 1, centers)
        self.letters.welcome(centers)
        self.inbox.clear(stage.name, number)
        records = self._collected(desk, training, [name for name in centers if name in self.letters.cases], number)
        for center in [center for center in centers if center not in records]:
            records[center] = RoundRecord(stage.name, number, center, error="no-answer")
            self.listener.center_answered(records[center])
        if not set(training.groups) <= set(PERSONAL):
            self._check_quorum(stage, number, records)
        new = tuple(records[center] for center in centers)
        history = replace(self.state.history, rounds=(*self.state.history.rounds, *new))
        base = self._base(desk, training, number)
        payloads = self.inbox.payloads(stage.name, number)
        self.state = after_round(replace(self.state, history=history), stage, training, payloads, base, self.study)
        if completed + 1 == stage.warm_up_rounds:
            self.state = after_warm_up(self.state)
        self._save()
        self.inbox.clear(stage.name, number)
        for record in new:
            self.tracker.log_round(record)
        for figures in self.state.history.aggregations[-1:]:
            self.tracker.log_aggregation(figures)

    def _collected(
        self, desk: Desk, training: Training, centers: Collection[str], number: int
    ) -> dict[str, RoundRecord]:
        """Ask the centers; what may be aggregated goes to the inbox, what happened into a record for each."""
        records: dict[str, RoundRecord] = {}
        beside = self._observed_beside(desk, training, centers)

        def take(answer: Answer) -> None:
            center, payload = answer.reply.center, answer.reply.payload
            norms, error = self._admitted(answer.reply, desk, training, number)
            if not error and payload is not None:
                error = self._put(payload, beside)
            records[center] = record_of(answer, desk.stage, number, error, norms)
            self.listener.center_answered(records[center])

        self.letters.ask({name: desk.training(self.state, name, training, number) for name in centers}, take)
        return records

    def _put(self, payload: Payload, beside: Mapping[str, Tensors] | None) -> str:
        """Put a payload with the statistics its scheme needs into the inbox; an error code where those are missing."""
        if beside is not None and payload.center not in beside:
            return "not-observed"
        self.inbox.put(replace(payload, tensors={**payload.tensors, **(beside or {}).get(payload.center, {})}))
        return ""

    def _observed_beside(self, desk: Desk, training: Training, centers: Collection[str]) -> dict[str, Tensors] | None:
        """The statistics that the scheme weighs payloads by, asked for before the round; None where it needs none."""
        wanted = self.study.scheme_of(desk.stage).observes
        if not wanted or PEFT not in training.groups:
            return None
        answers = observations(self.state, desk, self.letters, wanted, centers)
        self.state = with_errands(self.state, desk.stage, answers)
        return {name: answer.reply.payload.tensors for name, answer in answers.items() if answer.reply.payload}

    def _admitted(self, reply: Reply, desk: Desk, training: Training, number: int) -> tuple[dict[str, float], str]:
        """The norms of an update that may enter the arithmetic, or the error code that stands in the record."""
        if reply.error or reply.payload is None:
            return {}, reply.error or "no-payload"
        start = desk.to_train(self.state, reply.center)
        phase = phase_of(training.roles) if PEFT in training.groups else ""
        try:
            admit(
                reply.payload,
                specs=desk.expected(training, reply.center),
                backbone_hash=hash_for(self.state, start, self.prepared.groups),
                stage=desk.stage.name,
                server_round=number,
                phase=phase,
                frozen_hash=frozen_hash(self._rest(start), start, reply.payload.tensors),
                registered_cases=self.letters.cases[reply.center]["train"],
                gains=partial(gain_findings, start=start, base=self._base(desk, training, number)),
                start=start,
                medians=norm_medians(self.state.history.rounds, desk.stage, phase),
            )
        except PayloadError as error:
            logger.warning("%s", error)
            return {}, error.code
        return update_norms(reply.payload, start, self.prepared.specs), ""

    def _base(self, desk: Desk, training: Training, number: int) -> Base:
        return base_of(self.prepared, desk.backbone, roles=training.roles, seed=number)

    def _rest(self, tensors: Tensors) -> Tensors:
        """What of a center's tensors is not the backbone: what a phase may be asked to leave alone."""
        return without_backbone(tensors, self.prepared.groups)

    def _check_quorum(self, stage: Stage, number: int, records: Mapping[str, RoundRecord]) -> None:
        usable, needed = sum(not record.error for record in records.values()), self.study.quorum_of(len(records))
        if usable >= needed:
            return
        found = ", ".join(f"{name}: {record.error or 'ok'}" for name, record in sorted(records.items()))
        raise QuorumError(
            f"stage '{stage.name}', round {number}: {usable} of {len(records)} center(s) sent usable tensors, "
            f"quorum is {needed} ({found}). Round {number - 1} is kept; resume when they are back"
        )

    def _set_aside(self, _center: str, reply: Reply) -> None:
        """A late payload is kept for who wants to look at it; it belongs to no round any more."""
        if reply.payload is not None:
            self.inbox.put_aside(reply.payload, "late")

    def _close(self, desk: Desk) -> None:
        """The closing steps of a stage that are not behind yet, each with its checkpoint."""
        if "gate" not in self.state.done:
            self.state = gated(self.state, desk, self.letters)
            self._save()
            for record in self.state.history.gates:
                if record.stage == desk.stage.name:
                    self.tracker.log_gate(record, self.state.server_round)
                    self.listener.gate_decided(record)
        if "observe" not in self.state.done:
            self.state = observed(self.state, desk, self.letters)
            self._save()
        if "score" not in self.state.done:
            self._score(desk, desk.stage.name)
        bank_stage(self.bank, self.state, desk, self.study)

    def _score(self, desk: Desk, row_name: str) -> None:
        """A row of the evaluation matrix."""
        centers = [name for name, center in self.study.centers.items() if center.evaluated]
        self.listener.scoring_started(row_name, centers)
        row = scored(self.state, desk, self.letters, row_name, centers)
        history = replace(self.state.history, rows=(*self.state.history.rows, row))
        done = ("score",) if row_name == desk.stage.name else ()
        self.state = replace(self.state, history=history, done=(*self.state.done, *done))
        self._save()
        self.tracker.log_row(row, self.state.server_round)
        self.listener.stage_scored(row)

    def _save(self) -> None:
        now = time.monotonic()
        self.state = replace(self.state, elapsed_s=self.state.elapsed_s + now - self._clock)
        self._clock = now
        checkpoints.save(self.directory.checkpoint, self.state)

    def _write_outputs(self, status: Status) -> None:
        write_outputs(self.directory, self.prepared, self.state, self.bank, self.tracker, self.letters.cases, status)

    def _leave_what_is_there(self, status: Status) -> None:
        """The outputs of a run that ends early; trouble here must not hide why it ended."""
        try:
            self._write_outputs(status)
        except ConciliumError as error:
            logger.warning("the outputs of the %s run could not be written: %s", status, error)
