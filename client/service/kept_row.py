"""What a center keeps, for itself, of a row of the matrix: scores of its test cases, and how sure its masks are."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from client.data.preprocessing import PreparedCase
from client.learning.cancellation import Check
from client.scores.calibration_log import calibrate, record_calibration
from client.scores.calibration_rows import CalibrationRow
from client.scores.score_log import record_cohorts, record_scores
from client.scores.scoring import Network, ScoreCache, Scored, case_scores, scores_of
from client.tasks.contract import CenterTask

Tested = Mapping[CenterTask, Sequence[Scored]]


def keep_row(
    home: Path,
    stage: str,
    network: Network,
    tested: Tested,
    validation: Callable[[], Sequence[PreparedCase]],
    cache: ScoreCache,
    check: Check,
) -> None:
    """Replace what is kept of a stage.

    Args:
        home: of the center.
        stage: whose row it is.
        network: what the center is served.
        tested: its test cases, scored.
        validation: its validation cases, which are prepared only where a task needs them.
        cache: scores of the center.
        check: called before each case.

    Raises:
        StorageError: the disk refuses.
    """
    rows = case_scores(tested)
    record_scores(home, stage, {task.name: of_task for task, of_task in rows.items()})
    record_cohorts(home, stage, scores_of(rows))
    record_calibration(home, stage, _calibrate(stage, network, tested, validation, cache, check))


def _calibrate(
    stage: str,
    network: Network,
    tested: Tested,
    validation: Callable[[], Sequence[PreparedCase]],
    cache: ScoreCache,
    check: Check,
) -> list[CalibrationRow]:
    """How sure the masks of test cases are, by what the same network says of validation cases; for this center."""
    found: list[CalibrationRow] = []
    for task, rows in tested.items():
        if any(row.margins is not None for row in rows):
            known = list(cache.scored_fullest(network, task, validation(), check))
            found += calibrate(stage, network, known, list({row.score.case: row for row in rows}.values()))
    return found
