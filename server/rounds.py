"""The round loop: stages in order, rounds in each, and after every round a checkpoint from which a run continues.

    enter stage -> [ instruct -> collect -> admit -> aggregate -> checkpoint ] x rounds -> score test cases -> bank

One message a center and round: the center scores the state it received on validation cases, trains, and replies.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

from server import checkpoint as checkpoints
from server.banking import bank_stage
from server.checkpoint import Checkpoint
from server.directory import Prepared, StudyDirectory, read_prepared
from server.fleet import Fleet
from server.history import RoundRecord, StageRow
from server.outputs import write_outputs
from server.progress import Listener
from server.result import Status
from server.study import INITIAL, Stage
from server.tracking import Tracker
from server.transitions import after_round, enter_stage, hash_for, leave_stage, tensors_for
from strategies.admission import admit
from strategies.bank import AdapterBank
from strategies.errors import BackboneMissingError, ConciliumError, PayloadError, QuorumError, StudyError
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


@dataclass(frozen=True)
class Answer:
    """One center's reply, with the tensor bytes of the messages it took."""

    reply: Reply
    bytes_down: int = 0
    bytes_up: int = 0


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
            self._save()
            self._register()
            self.listener.resumed(self.state.server_round)
            self._log_again()
            try:
                self._run_stages()
            except BaseException as error:
                self._leave_what_is_there("failed" if isinstance(error, Exception) else "interrupted")
                raise
            self._write_outputs("complete")

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

    def _log_again(self) -> None:
        """Bring MLflow up to the checkpoint: an interruption may have come between the two; what is there stays."""
        ends = accumulate(stage.rounds for stage in self.study.stages)
        steps = dict(zip((stage.name for stage in self.study.stages), ends, strict=True))
        for record in self.state.history.rounds:
            self.tracker.log_round(record)
        for row in self.state.history.rows:
            self.tracker.log_row(row, steps.get(row.stage, 0))

    def _run_stages(self) -> None:
        first = self.study.stages[0]
        if first.kind != "pretrain" and not self.state.history.rows and self.state.server_round == 0:
            self.state = enter_stage(self.state, first, self.prepared, self.bank)
            self._score(first, INITIAL)
        for index in range(self.state.stage_index, len(self.study.stages)):
            stage = self.study.stages[index]
            self.state = enter_stage(self.state, stage, self.prepared, self.bank)
            if self.state.backbone_hash:
                self.tracker.log_backbone(self.state.backbone_hash)
            before = sum(earlier.rounds for earlier in self.study.stages[:index])
            for completed in range(self.state.server_round - before, stage.rounds):
                self._round(stage, completed)
            if not self.state.stage_scored:
                self._score(stage, stage.name)
            bank_stage(self.bank, self.state, stage, self.prepared.groups)
            following = self.study.stages[index + 1] if index + 1 < len(self.study.stages) else None
            self.state = leave_stage(self.state, stage, following)
            self._save()

    def _round(self, stage: Stage, completed: int) -> None:
        """One round: instruct, collect, admit, aggregate, checkpoint.

        Raises:
            QuorumError: fewer payloads than the study's quorum could be admitted.
        """
        self.listener.round_started(stage, completed + 1, stage.centers)
        number = self.state.server_round + 1
        records: dict[str, RoundRecord] = {}
        payloads: list[Payload] = []

        def take(answer: Answer) -> None:
            payload, error = self._admitted(answer.reply, stage, number)
            if payload is not None:
                payloads.append(payload)
            records[answer.reply.center] = record_of(answer, stage, number, error)
            self.listener.center_answered(records[answer.reply.center])

        self._ask("train", stage, stage.name, stage.centers, stage.training_in(completed), number, take)
        for center in [center for center in stage.centers if center not in records]:
            take(Answer(Reply(center=center, kind="train", error="no-answer")))
        self._check_quorum(stage, number, records, len(payloads))
        new = tuple(records[center] for center in stage.centers)
        history = replace(self.state.history, rounds=(*self.state.history.rounds, *new))
        self.state = replace(after_round(self.state, stage, payloads, self.prepared.groups), history=history)
        self._save()
        for record in new:
            self.tracker.log_round(record)

    def _check_quorum(self, stage: Stage, number: int, records: Mapping[str, RoundRecord], usable: int) -> None:
        if usable >= min(self.study.quorum, len(stage.centers)):
            return
        found = ", ".join(f"{name}: {record.error or 'ok'}" for name, record in sorted(records.items()))
        raise QuorumError(
            f"stage '{stage.name}', round {number}: {usable} of {len(stage.centers)} center(s) sent usable tensors, "
            f"quorum is {self.study.quorum} ({found}). Round {number - 1} is kept; resume when they are back"
        )

    def _score(self, stage: Stage, row_name: str) -> None:
        """A row of the evaluation matrix: every evaluated center scores its test cases."""
        centers = [name for name, center in self.study.centers.items() if center.evaluated]
        self.listener.scoring_started(row_name, centers)
        answers: dict[str, Answer] = {}

        def take(answer: Answer) -> None:
            answers[answer.reply.center] = answer

        self._ask("evaluate", stage, row_name, centers, None, self.state.server_round, take)
        absent = {center: "no-answer" for center in centers if center not in answers}
        failed = {center: answer.reply.error for center, answer in answers.items() if answer.reply.error}
        row = StageRow(
            row_name,
            test={center: answers[center].reply.scores for center in centers if center in answers},
            bytes_down={center: answers[center].bytes_down for center in centers if center in answers},
            seconds={center: answers[center].reply.seconds for center in centers if center in answers},
            errors={**absent, **failed},
        )
        history = replace(self.state.history, rows=(*self.state.history.rows, row))
        self.state = replace(self.state, history=history, stage_scored=row_name == stage.name)
        self._save()
        self.tracker.log_row(row, self.state.server_round)
        self.listener.stage_scored(row)

    def _ask(
        self,
        kind: Kind,
        stage: Stage,
        name: str,
        centers: Sequence[str],
        training: Training | None,
        number: int,
        take: Callable[[Answer], None],
    ) -> None:
        """Hand each answer on as it comes; a center without the frozen backbone is sent it and asked once more."""
        lacking: dict[str, int] = {}

        def note(center: str, reply: Reply, bytes_down: int, bytes_up: int) -> None:
            if reply.error == BackboneMissingError.code and center not in lacking:
                lacking[center] = bytes_down
            else:
                take(Answer(reply, bytes_down + lacking.get(center, 0), bytes_up))

        asked = {center: self._instruction(kind, stage, name, center, training, number) for center in centers}
        self.fleet.ask(asked, deadline_s=self.study.deadline_s, on_reply=note)
        if lacking:
            backbone = self.bank.backbone(self.state.backbone_hash)
            again = {center: replace(asked[center], backbone=backbone) for center in lacking}
            self.fleet.ask(again, deadline_s=self.study.deadline_s, on_reply=note)

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

    def _write_outputs(self, status: Status) -> None:
        write_outputs(self.directory, self.prepared, self.state, self.bank, self.tracker, self.cases, status)

    def _leave_what_is_there(self, status: Status) -> None:
        """The outputs of a run that ends early; trouble here must not hide why it ended."""
        try:
            self._write_outputs(status)
        except ConciliumError as error:
            logger.warning("the outputs of the %s run could not be written: %s", status, error)


def record_of(answer: Answer, stage: Stage, number: int, error: str) -> RoundRecord:
    """One center's line in the history of a round; a payload that was refused supports nothing."""
    reply = answer.reply
    support = {} if reply.payload is None or error else dict(reply.payload.support)
    return RoundRecord(
        stage=stage.name,
        server_round=number,
        center=reply.center,
        error=error,
        loss=reply.loss,
        cases=max(support.values(), default=0),
        support=support,
        seconds=reply.seconds,
        bytes_down=answer.bytes_down,
        bytes_up=answer.bytes_up,
        validation=reply.scores,
    )
