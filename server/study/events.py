"""What a study tells while it runs: one frozen value for each kind of event, and who listens is a function of them."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from server.grid.containment import describe
from server.study.file import Study
from server.study.history import GateRecord, LateRecord, RollbackRecord, RoundRecord, StageRow
from server.study.stage import Stage

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Resumed:
    """The study continues after this many completed rounds."""

    server_round: int


@dataclass(frozen=True)
class RoundStarted:
    """Round `number` of a stage, from 1, goes out to these centers."""

    stage: Stage
    number: int
    centers: tuple[str, ...]


@dataclass(frozen=True)
class CentersAsked:
    """These centers are asked something, of this kind, and waited for from now on; nobody is where the wait is over."""

    kind: str
    centers: tuple[str, ...]


@dataclass(frozen=True)
class CenterHeard:
    """One of those that are waited for has answered, or is not waited for any longer."""

    kind: str
    center: str


@dataclass(frozen=True)
class CenterAnswered:
    """One center's round is in."""

    record: RoundRecord


@dataclass(frozen=True)
class RolledBack:
    """A round was undone, since the next one found its state much worse."""

    record: RollbackRecord


@dataclass(frozen=True)
class RoundKept:
    """So many rounds are completed and on the disk."""

    server_round: int


@dataclass(frozen=True)
class GateDecided:
    """The no-harm gate has let a stage's candidate through, or not."""

    record: GateRecord


@dataclass(frozen=True)
class ScoringStarted:
    """The centers score their test cases after a stage."""

    stage: str
    centers: tuple[str, ...]


@dataclass(frozen=True)
class StageScored:
    """A row of the evaluation matrix is complete."""

    row: StageRow


@dataclass(frozen=True)
class LateFound:
    """What became of an update that missed its round is known."""

    record: LateRecord


@dataclass(frozen=True)
class Extended:
    """The study has more stages, and perhaps centers, than when the run began, which goes on with them."""

    study: Study


@dataclass(frozen=True)
class Ended:
    """The study has come to its end, or to an early one by `error`."""

    error: BaseException | None


Event = (
    Resumed
    | RoundStarted
    | CentersAsked
    | CenterHeard
    | CenterAnswered
    | RolledBack
    | RoundKept
    | GateDecided
    | ScoringStarted
    | StageScored
    | LateFound
    | Extended
    | Ended
)
Listen = Callable[[Event], None]


def tell_nobody(_event: Event) -> None:
    """Where nobody watches."""


def tell_all(*listeners: Listen) -> Listen:
    """A listener that tells several, in their order; one that fails is named once, and no study ends by who watches."""
    failed: set[int] = set()

    def tell(event: Event) -> None:
        for number, listen in enumerate(listeners):
            try:
                listen(event)
            except Exception as error:  # noqa: BLE001 -- a screen or a file; nothing of the study depends on it
                if number not in failed:
                    logger.error("'%s' cannot be shown, the study goes on: %s", type(event).__name__, describe(error))
                failed.add(number)

    return tell
