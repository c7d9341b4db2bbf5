"""What the coordinator's programs tell each other through the study's directory, each file replaced as a whole.

launch.json       what is wanted, written by `launch`, `resume` and `stop`, and by the watchdog when a study is complete
progress.json     where the run is, written by the ServerApp
watchdog.json     who watches, and what is not as it should be, written by the watchdog
turned_away.json  whom nobody waits for, written by the watchdog: the ServerApp, with a run's code, sees no registry
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from protocol.errors import LaunchError
from protocol.messages.suppression import figure_name
from protocol.modalities import SETTINGS, ModalitySetting
from protocol.storage.atomic_files import write_text
from protocol.storage.locks import FOREVER_S, hold_lock
from protocol.tasks import metric_named
from reporting.formats import ABSENT, FAILED, WITHHELD, figure
from server.study.directory import StudyDirectory

Content = TypeVar("Content", bound=BaseModel)
State = Literal["running", "complete", "failed", "interrupted"]


class Written(BaseModel):
    """Base of these files; one of a newer version may hold more than this one knows."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Launch(Written):
    """What the coordinator wants: a study that runs, or one that does not; `run_id` is of the last run started."""

    wanted: Literal["running", "stopped"]
    run_id: str
    launched_at: datetime
    starts: int


class CenterProgress(Written):
    """The last that was heard of a center: its round, an error code or "", scores before training, and when.

    scores: `metric`, the primary one of what the round trained for, on validation cases of each modality setting; null
        where it is undefined. suppressed: names of what the center holds back, `loss`, `ct/dice`; neither a score nor
        null stands for one of them. What is in neither was not scored.
    """

    server_round: int
    error: str = ""
    loss: float | None = None
    metric: str = ""
    scores: Mapping[str, float | None] = {}
    suppressed: tuple[str, ...] = ()
    seconds: float = 0
    at: datetime | None = None

    @property
    def told_scores(self) -> Mapping[ModalitySetting, str]:
        """The validation score of each modality setting, with those that are undefined and those held back."""
        return {name: self._score(name) for name in SETTINGS if name in self.scores or self._withholds(name)}

    @property
    def scores_text(self) -> str:
        """The same on one line; the word for it where nothing was scored."""
        return "  ".join(f"{name} {score}" for name, score in self.told_scores.items()) or self.no_score

    @property
    def no_score(self) -> str:
        """The word where nothing was scored."""
        return self._nothing

    @property
    def loss_text(self) -> str:
        """The loss; whether it is held back, or its round failed, where there is none."""
        if "loss" in self.suppressed:
            return WITHHELD
        return self._nothing if self.loss is None else figure(self.loss, 3)

    @property
    def _nothing(self) -> str:
        """The word where nothing was sent."""
        return FAILED if self.error else ABSENT

    def _score(self, setting: ModalitySetting) -> str:
        if self._withholds(setting):
            return WITHHELD
        return figure(self.scores[setting], metric_named(self.metric).decimals)

    def _withholds(self, setting: ModalitySetting) -> bool:
        return figure_name(setting, self.metric) in self.suppressed


class RunProgress(Written):
    """Where the run is; `code` and `reason` say why it is not running any more.

    waiting_for: centers that were asked and have not answered; waiting_kind: what they were asked, an instruction's
    kind; waiting_since: when.
    """

    state: State
    code: str = ""
    reason: str = ""
    run_id: str = ""
    stage: str = ""
    stage_round: int = 0
    stage_rounds: int = 0
    server_round: int = 0
    rounds: int = 0
    waiting_for: tuple[str, ...] = ()
    waiting_kind: str = ""
    waiting_since: datetime | None = None
    centers: Mapping[str, CenterProgress] = {}
    updated_at: datetime | None = None


class WatchdogState(Written):
    """When the watchdog last looked, and its alarms."""

    alive_at: datetime
    alarms: tuple[str, ...] = ()


class TurnedAway(Written):
    """The centers that are turned away, each with the code that stands for its answers: revoked or expired.

    not_agreed: center -> stages that were added since it agreed to the study; of those alone it is not asked.
    """

    centers: Mapping[str, str] = {}
    not_agreed: Mapping[str, tuple[str, ...]] = {}


def read_launch(directory: StudyDirectory) -> Launch | None:
    """What is wanted; None where the study was never launched. LaunchError where the file is damaged."""
    return _read(directory.launch, Launch)


def read_progress(directory: StudyDirectory) -> RunProgress | None:
    """Where the run is; None before the first. LaunchError where the file is damaged."""
    return _read(directory.progress, RunProgress)


def read_watchdog(directory: StudyDirectory) -> WatchdogState | None:
    """The watchdog's last word; None where there was none. LaunchError where the file is damaged."""
    return _read(directory.watchdog, WatchdogState)


def read_turned_away(directory: StudyDirectory) -> Mapping[str, str]:
    """The centers that are turned away, with why; none before the watchdog has looked. LaunchError where damaged."""
    found = _read(directory.turned_away, TurnedAway)
    return {} if found is None else found.centers


def read_not_agreed(directory: StudyDirectory) -> Mapping[str, tuple[str, ...]]:
    """Center -> the stages that it has not agreed to. LaunchError where the file is damaged."""
    found = _read(directory.turned_away, TurnedAway)
    return {} if found is None else found.not_agreed


def write_turned_away(
    directory: StudyDirectory, centers: Mapping[str, str], not_agreed: Mapping[str, tuple[str, ...]]
) -> None:
    """Write who is turned away, and who has not agreed to which stages, where that is not what the file says.

    Raises:
        LaunchError: the file is damaged.
        StorageError: the disk refuses.
    """
    if (read_turned_away(directory), read_not_agreed(directory)) != (centers, not_agreed):
        write_state(directory.turned_away, TurnedAway(centers=centers, not_agreed=not_agreed))


def write_state(path: Path, content: Written) -> None:
    """Replace one of the files.

    Raises:
        StorageError: the disk refuses.
    """
    write_text(path, content.model_dump_json(indent=1))


@contextmanager
def hold_launch(directory: StudyDirectory) -> Iterator[None]:
    """Hold the right to start and stop this study's runs; whoever comes second waits.

    Between a look at the runs and the start of one nobody else may start one: a launch and the watchdog would otherwise
    start two.
    """
    directory.link.mkdir(mode=0o700, parents=True, exist_ok=True)
    with hold_lock(directory.link / "launch.lock", wait_s=FOREVER_S):
        yield


def _read(path: Path, kind: type[Content]) -> Content | None:
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, ValidationError) as error:
        raise LaunchError(
            f"{path} cannot be read ({error}); remove it: the study goes on from its last completed round without it"
        ) from error
