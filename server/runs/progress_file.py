"""`progress.json`: where a run is and how it ended, for the programs that watch it; replaced whole at every event.

It says sooner what the checkpoint and the history say. The watchdog takes from it why a run ended, and whether trying
again helps; without it every end counts as one without a verdict. Where a study goes on is in the checkpoint alone. A
disk that refuses the file stops nothing.
"""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from server.study.directory import StudyDirectory
from server.study.history import GateRecord, LateRecord, RoundRecord, StageRow
from server.runs.state_files import CenterProgress, RunProgress, read_progress, write_state
from server.study.events import Listener
from server.study.file import Stage, Study
from server.study.lock import StudyInUseError
from protocol.errors import ConciliumError, StorageError

logger = logging.getLogger(__name__)


class ProgressFile(Listener):
    """Writes the progress of one run; leaving its context writes how it ended.

    Args:
        directory: of the study.
        study: says how many rounds there are.
        run_id: Flower's number of the run, as text.
    """

    def __init__(self, directory: StudyDirectory, study: Study, run_id: str) -> None:
        self._directory = directory
        rounds = sum(stage.all_rounds for stage in study.stages)
        self._now = RunProgress(state="running", run_id=run_id, rounds=rounds)
        self._told = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Write the end; not where another process runs the study and writes its own."""
        if not isinstance(error, StudyInUseError):
            self.ended(error)

    def resumed(self, server_round: int) -> None:
        """The run has begun; what an earlier one heard of the centers stays."""
        self._write(server_round=server_round, centers=self._earlier())

    def round_started(self, stage: Stage, number: int, centers: Sequence[str]) -> None:
        """Say which round is under way and who is asked."""
        self._write(stage=stage.name, stage_round=number, stage_rounds=stage.all_rounds, waiting_for=tuple(centers))

    def center_answered(self, record: RoundRecord) -> None:
        """Note a center's round and that it is not waited for any more."""
        heard = CenterProgress(
            server_round=record.server_round,
            error=record.error,
            loss=record.loss,
            dice={setting: score.dice for setting, score in record.validation.items()},
            seconds=record.seconds,
            at=datetime.now(UTC),
        )
        waiting_for = tuple(center for center in self._now.waiting_for if center != record.center)
        self._write(waiting_for=waiting_for, centers={**self._now.centers, record.center: heard})

    def round_kept(self, server_round: int) -> None:
        """Count a completed round."""
        self._write(server_round=server_round, waiting_for=())

    def gate_decided(self, _record: GateRecord) -> None:
        """The run is alive."""
        self._write()

    def scoring_started(self, stage: str, centers: Sequence[str]) -> None:
        """Say who scores test cases after which stage."""
        self._write(stage=stage, waiting_for=tuple(centers))

    def stage_scored(self, _row: StageRow) -> None:
        """Nobody is waited for any more."""
        self._write(waiting_for=())

    def late_found(self, _record: LateRecord) -> None:
        """The run is alive."""
        self._write()

    def ended(self, error: BaseException | None) -> None:
        """Say how the run ended, once; a text goes in only where it was written to be shown."""
        if self._now.state != "running":
            return
        if error is None:
            self._write(state="complete", waiting_for=())
        elif isinstance(error, ConciliumError):
            self._write(state="failed", code=error.code, reason=str(error), waiting_for=())
        elif isinstance(error, Exception):
            self._write(state="failed", code="internal", reason=type(error).__name__, waiting_for=())
        else:
            self._write(state="interrupted", reason="stopped", waiting_for=())

    def interrupted(self) -> None:
        """Say that the run was stopped, unless it has ended."""
        self.ended(KeyboardInterrupt())

    def _earlier(self) -> dict[str, CenterProgress]:
        try:
            earlier = read_progress(self._directory)
        except ConciliumError as error:
            logger.warning("%s", error)
            return {}
        return {} if earlier is None else dict(earlier.centers)

    def _write(self, **changes: object) -> None:
        self._now = self._now.model_copy(update={**changes, "updated_at": datetime.now(UTC)})
        try:
            write_state(self._directory.progress, self._now)
        except (StorageError, ValueError) as error:
            if not self._told:
                logger.warning("the run goes on without its progress file: %s", error)
            self._told = True
