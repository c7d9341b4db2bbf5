"""A study from where it stands to its end; one that is extended meanwhile goes on with what was added.

The study file is looked at between two stages, never within one.
"""

from pathlib import Path

from server.grid.center_grid import CenterGrid
from server.rounds.dispatcher import NotAgreed, TurnedAway, nobody, nothing
from server.rounds.study_run import StudyRun
from server.study import events
from server.study.directory import StudyDirectory
from server.study.events import Listen
from server.study.lock import hold_study
from server.study.withdrawn import refuse_withdrawn


def run_study(
    center_grid: CenterGrid,
    root: Path,
    *,
    listen: Listen | None = None,
    tracking_uri: str | None = None,
    turned_away: TurnedAway = nobody,
    not_agreed: NotAgreed = nothing,
) -> None:
    """Run a prepared study from its last completed round to its end, and leave its outputs in `root`.

    Args:
        center_grid: the way to the centers.
        root: the study's directory.
        listen: told of what happens.
        tracking_uri: of an MLflow server; None keeps the tracking in `root`.
        turned_away: read whenever centers are asked: those that nobody asks any more, each with an error code.
        not_agreed: read likewise: center -> the stages in which it is not asked to train.

    Raises:
        StudyError: the directory holds no study, another process runs it, or a center of it cannot take part.
        QuorumError: too few centers answered a round; everything before it is kept.
        StorageError: the disk refuses; the last checkpoint is untouched.
    """
    with hold_study(StudyDirectory(root).lock):
        refuse_withdrawn(StudyDirectory(root))
        tell = events.tell_all(*([] if listen is None else [listen]))
        run = StudyRun(center_grid, root, tell, tracking_uri, turned_away, not_agreed)
        while run.run() == "extended":
            run = StudyRun(center_grid, root, tell, tracking_uri, turned_away, not_agreed)
            tell(events.Extended(run.study))
