"""`progress.json`: where a run is and how it ended, for the programs that watch it; replaced whole at every event.

Each answer of a center is an event, and the file has a row of every center: beyond `EACH` centers, answers that follow
each other closely are written together, at most `PAUSE_S` for each center apart, so that a round of thousands does not
write millions of rows.

It says sooner what the checkpoint and the history say. The watchdog takes from it why a run ended, and whether trying
again helps; without it every end counts as one without a verdict. Where a study goes on is in the checkpoint alone. A
disk that refuses the file stops nothing.
"""

import logging
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from protocol.errors import ConciliumError, StorageError
from protocol.messages.suppression import figure_name
from server.runs.paced_writes import PacedWrites
from server.runs.state_files import CenterProgress, RunProgress, read_progress, write_state
from server.study.directory import StudyDirectory
from server.study.events import (
    CenterAnswered,
    CenterHeard,
    CentersAsked,
    Ended,
    Event,
    Extended,
    Resumed,
    RoundKept,
    RoundStarted,
    ScoringStarted,
)
from server.study.file import Study
from server.study.history import RoundRecord
from server.study.lock import StudyInUseError

logger = logging.getLogger(__name__)

EACH, PAUSE_S = 50, 3e-3
NOBODY: dict[str, object] = {"waiting_for": (), "waiting_kind": "", "waiting_since": None}
"""The changes where nobody is waited for."""


class ProgressFile:
    """Writes what `listen` is told of one run; leaving its context writes how it ended.

    Args:
        directory: of the study.
        study: says how many rounds there are, and by what a stage is judged.
        run_id: Flower's number of the run, as text.
    """

    def __init__(self, directory: StudyDirectory, study: Study, run_id: str) -> None:
        self._directory, self._study = directory, study
        rounds = sum(stage.all_rounds for stage in study.stages)
        self._now = RunProgress(state="running", run_id=run_id, rounds=rounds)
        self._told = False
        self._centers: dict[str, CenterProgress] = {}
        self._waiting_for: dict[str, None] = {}
        self._paced = PacedWrites(self._put, self._pause_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Write the end; not where another process runs the study and writes its own."""
        if not isinstance(error, StudyInUseError):
            self.end(error)

    def listen(self, event: Event) -> None:
        """Write what an event changes; each one says that the run is alive."""
        match event:
            case Resumed(server_round):
                self._centers = self._earlier()
                self._write(server_round=server_round)
            case RoundStarted(stage, number):
                self._write(stage=stage.name, stage_round=number, stage_rounds=stage.all_rounds)
            case CentersAsked(kind, centers):
                self._waiting_for = dict.fromkeys(centers)
                self._write(**_waiting(kind, centers))
            case CenterHeard(kind, center):
                self._hear(kind, center)
            case CenterAnswered(record):
                self._centers[record.center] = self._of_round(record)
                self._paced.write_soon()
            case RoundKept(server_round):
                self._write(server_round=server_round)
            case ScoringStarted(stage_name):
                self._write(stage=stage_name)
            case Extended(study):
                self._study = study
                self._write(rounds=sum(stage.all_rounds for stage in study.stages))
            case Ended(error):
                self.end(error)
            case _:
                self._write()

    def end(self, error: BaseException | None) -> None:
        """Say how the run ended, once; a text goes in only where it was written to be shown."""
        if self._now.state != "running":
            return
        self._waiting_for = {}
        if error is None:
            self._write(state="complete", **NOBODY)
        elif isinstance(error, ConciliumError):
            self._write(state="failed", code=error.code, reason=str(error), **NOBODY)
        elif isinstance(error, Exception):
            self._write(state="failed", code="internal", reason=type(error).__name__, **NOBODY)
        else:
            self._write(state="interrupted", reason="stopped", **NOBODY)

    def interrupt(self) -> None:
        """Say that the run was stopped, unless it has ended."""
        self.end(KeyboardInterrupt())

    def _hear(self, kind: str, center: str) -> None:
        """One less is waited for; of a round that is written with what the center answered, which follows at once."""
        self._waiting_for.pop(center, None)
        if kind != "train":
            self._paced.write_soon()

    def _of_round(self, record: RoundRecord) -> CenterProgress:
        """What a center's round says of it."""
        metric = self._study.judged_by(record.stage).name
        return CenterProgress(
            server_round=record.server_round,
            error=record.error,
            loss=record.loss,
            metric=metric,
            scores=_scores(record, metric),
            suppressed=record.suppressed,
            seconds=record.seconds,
            at=datetime.now(UTC),
        )

    def _earlier(self) -> dict[str, CenterProgress]:
        try:
            earlier = read_progress(self._directory)
        except ConciliumError as error:
            logger.warning("%s", error)
            return {}
        return {} if earlier is None else dict(earlier.centers)

    def _write(self, **changes: object) -> None:
        self._now = self._now.model_copy(update=changes)
        self._paced.write_now()

    def _pause_s(self) -> float:
        """How far apart answers are written."""
        centers = len(self._centers)
        return PAUSE_S * centers if centers > EACH else 0.0

    def _put(self) -> None:
        heard = {"centers": dict(self._centers), "waiting_for": tuple(self._waiting_for)}
        now = self._now.model_copy(update={**heard, "updated_at": datetime.now(UTC)})
        try:
            write_state(self._directory.progress, now)
        except (StorageError, ValueError) as error:
            if not self._told:
                logger.warning("the run goes on without its progress file: %s", error)
            self._told = True


def _waiting(kind: str, centers: tuple[str, ...]) -> dict[str, object]:
    """That these centers are waited for from now on."""
    return {"waiting_for": centers, "waiting_kind": kind, "waiting_since": datetime.now(UTC)} if centers else NOBODY


def _scores(record: RoundRecord, metric: str) -> dict[str, float | None]:
    """The figure of each setting that was scored; a setting that is left with others has none of one held back."""
    return {
        setting: score.value(metric)
        for setting, score in record.validation.items()
        if figure_name(setting, metric) not in record.suppressed
    }
