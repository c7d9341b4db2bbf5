"""The round loop: stages in order, rounds in each, and after every round a checkpoint from which a run continues.

    enter stage -> [ instruct -> collect -> admit -> aggregate -> checkpoint ] x rounds -> score test cases -> bank

One message a center and round: the center scores the state it received on validation cases, trains, and replies.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from server import checkpoint as checkpoints
from server.banking import bank_stage
from server.checkpoint import Checkpoint
from server.directory import Prepared, StudyDirectory, read_prepared
from server.fleet import Fleet
from server.history import RoundRecord, StageRow
from server.outputs import write_outputs
from server.progress import Listener
from server.result import INITIAL, Status
from server.study import Stage
from server.tracking import Tracker
from server.transitions import after_round, enter_stage, hash_for, tensors_for
from strategies.admission import admit
from strategies.bank import AdapterBank
from strategies.errors import BackboneMissingError, PayloadError, QuorumError, StudyError
from strategies.instruction import Instruction, Kind, Reply
from strategies.payload import Payload
from strategies.settings import Training

logger = logging.getLogger(__name__)

FRESH = Checkpoint(stage_index=0, server_round=0, stage_scored=False, backbone_hash="", shared={})
EXPECTED_FACTS = ("train_cases", "validation_cases", "test_cases")


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
        self.fleet, self.listener, self.tracking_uri = fleet, listener, tracking_uri
        self.directory = StudyDirectory(root)
        self.prepared: Prepared = read_prepared(root)
        self.study = self.prepared.study
        self.bank = AdapterBank.create(self.directory.bank, self.study.settings, self.prepared.adapter_config)
        self.state = checkpoints.load(self.directory.checkpoint) or FRESH
        self.cases: dict[str, dict[str, int]] = {}
        self._clock = time.monotonic()

    def run(self) -> None:
        """All stages that are left, then the outputs; what was completed is written out also when a stage fails."""
        tracking = dict(self.state.tracking)
        with Tracker.open(
            self.directory.root, self.study, run_ids=tracking, tracking_uri=self.tracking_uri
        ) as self.tracker:
            self.state = replace(self.state, tracking=self.tracker.run_ids)
            status: Status = "interrupted"
            try:
                self._register()
                self.listener.resumed(self.state.server_round)
                self._run_stages()
                status = "complete"
            except Exception:
                status = "failed"
                raise
            finally:
                self._save()
                write_outputs(self.directory, self.prepared, self.state, self.bank, self.tracker, self.cases, status)

    def _register(self) -> None:
        """Learn what each center has; a center that is missing or has no usable data ends the run before it starts."""
        instruction = Instruction(kind="register", settings=self.study.settings)
        replies = self.fleet.register(instruction, deadline_s=self.study.deadline_s, expected=self.study.centers)
        for center in self.study.centers:
            reply = replies.get(center)
            if reply is None or reply.error:
                reason = "did not register" if reply is None else f"registered with error '{reply.error}'"
                raise StudyError(f"center '{center}' {reason}; see its own log, then run the study again")
            self.cases[center] = {fact.removesuffix("_cases"): int(reply.facts[fact]) for fact in EXPECTED_FACTS}

    def _run_stages(self) -> None:
        first = self.study.stages[0]
        if first.kind != "pretrain" and not self.state.history.rows and self.state.server_round == 0:
            self.state = enter_stage(self.state, first, self.prepared, self.bank)
            self._score(first, INITIAL)
            self._save()
        for index in range(self.state.stage_index, len(self.study.stages)):
            stage = self.study.stages[index]
            self.state = enter_stage(self.state, stage, self.prepared, self.bank)
            if self.state.backbone_hash:
                self.tracker.log_backbone(self.state.backbone_hash)
            before = sum(earlier.rounds for earlier in self.study.stages[:index])
            for completed in range(self.state.server_round - before, stage.rounds):
                self._round(stage, completed)
                self._save()
            if not self.state.stage_scored:
                self._score(stage, stage.name)
                self.state = replace(self.state, stage_scored=True)
                self._save()
            bank_stage(self.bank, self.state, stage, self.prepared.groups)
            self.state = replace(self.state, stage_index=index + 1, stage_scored=False)
            self._save()

    def _round(self, stage: Stage, completed: int) -> None:
        """One round: instruct, collect, admit, aggregate.

        Raises:
            QuorumError: fewer payloads than the study's quorum could be admitted.
        """
        self.listener.round_started(stage, completed + 1, stage.centers)
        number = self.state.server_round + 1
        records: dict[str, RoundRecord] = {}
        payloads: list[Payload] = []

        def take(reply: Reply, bytes_down: int, bytes_up: int) -> None:
            payload, error = self._admitted(reply, stage, number)
            if payload is not None:
                payloads.append(payload)
            records[reply.center] = record_of(reply, stage, number, error, bytes_down, bytes_up)
            self.listener.center_answered(records[reply.center])
            self.tracker.log_round(records[reply.center])

        answered = self._ask("train", stage, stage.name, stage.centers, stage.training_in(completed), number)
        for center in stage.centers:
            take(*answered.get(center, (Reply(center=center, kind="train", error="no-answer"), 0, 0)))
        if len(payloads) < min(self.study.quorum, len(stage.centers)):
            found = ", ".join(f"{name}: {record.error or 'ok'}" for name, record in records.items())
            raise QuorumError(
                f"stage '{stage.name}', round {number}: {len(payloads)} of {len(stage.centers)} center(s) sent usable "
                f"tensors, quorum is {self.study.quorum} ({found}). Round {number - 1} is kept; resume then"
            )
        history = replace(self.state.history, rounds=(*self.state.history.rounds, *records.values()))
        self.state = replace(after_round(self.state, stage, payloads, self.prepared.groups), history=history)

    def _score(self, stage: Stage, row_name: str) -> None:
        """A row of the evaluation matrix: every evaluated center scores its test cases."""
        centers = [name for name, center in self.study.centers.items() if center.evaluated]
        self.listener.scoring_started(row_name, centers)
        answered = self._ask("evaluate", stage, row_name, centers, None, self.state.server_round)
        for center, (reply, _, _) in answered.items():
            if reply.error:
                logger.warning("center '%s' could not score stage '%s': %s", center, row_name, reply.error)
        row = StageRow(row_name, {center: reply.scores for center, (reply, _, _) in sorted(answered.items())})
        history = replace(self.state.history, rows=(*self.state.history.rows, row))
        self.state = replace(self.state, history=history)
        self.tracker.log_row(row, self.state.server_round)
        self.listener.stage_scored(row)

    def _ask(
        self, kind: Kind, stage: Stage, name: str, centers: Sequence[str], training: Training | None, number: int
    ) -> dict[str, tuple[Reply, int, int]]:
        """Replies with bytes down and up; a center without the frozen backbone is sent it and asked once more."""
        answered: dict[str, tuple[Reply, int, int]] = {}

        def note(center: str, reply: Reply, bytes_down: int, bytes_up: int) -> None:
            _, down, up = answered.get(center, (reply, 0, 0))
            answered[center] = (reply, down + bytes_down, up + bytes_up)

        asked = {center: self._instruction(kind, stage, name, center, training, number) for center in centers}
        self.fleet.ask(asked, deadline_s=self.study.deadline_s, on_reply=note)
        lacking = [center for center, (reply, _, _) in answered.items() if reply.error == BackboneMissingError.code]
        if lacking:
            backbone = self.bank.backbone(self.state.backbone_hash)
            again = {center: replace(asked[center], backbone=backbone) for center in lacking}
            self.fleet.ask(again, deadline_s=self.study.deadline_s, on_reply=note)
        return answered

    def _instruction(
        self, kind: Kind, stage: Stage, name: str, center: str, training: Training | None, number: int
    ) -> Instruction:
        tensors = tensors_for(self.state, stage, center)
        return Instruction(
            kind=kind,
            settings=self.study.settings,
            stage=name,
            server_round=number,
            backbone_hash=hash_for(self.state, tensors, self.prepared.groups),
            training=training,
            tensors=tensors,
        )

    def _admitted(self, reply: Reply, stage: Stage, number: int) -> tuple[Payload | None, str]:
        """The payload if it may enter the arithmetic, and the error code that stands in the record otherwise."""
        if reply.error or reply.payload is None:
            return None, reply.error or "no-payload"
        tensors = tensors_for(self.state, stage, reply.center)
        try:
            admit(
                reply.payload,
                specs=[spec for spec in self.prepared.specs if spec.group in stage.training.groups],
                backbone_hash=hash_for(self.state, tensors, self.prepared.groups),
                stage=stage.name,
                server_round=number,
                registered_cases=self.cases[reply.center]["train"],
            )
        except PayloadError as error:
            logger.warning("%s", error)
            return None, error.code
        return reply.payload, ""

    def _save(self) -> None:
        now = time.monotonic()
        self.state = replace(self.state, elapsed_s=self.state.elapsed_s + now - self._clock)
        self._clock = now
        checkpoints.save(self.directory.checkpoint, self.state)


def record_of(reply: Reply, stage: Stage, number: int, error: str, bytes_down: int, bytes_up: int) -> RoundRecord:
    """One center's line in the history of a round."""
    support: Mapping[str, int] = {} if reply.payload is None else reply.payload.support
    return RoundRecord(
        stage=stage.name,
        server_round=number,
        center=reply.center,
        error=error,
        loss=reply.loss,
        cases=max(support.values(), default=0),
        seconds=reply.seconds,
        bytes_down=bytes_down,
        bytes_up=bytes_up,
        validation=reply.scores,
    )
