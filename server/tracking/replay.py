"""Send a study that is finished or stopped to MLflow: what an outage kept away, or all of it to another server."""

from dataclasses import replace
from pathlib import Path

from protocol.errors import StudyError
from server.results.result import read_result
from server.study import checkpoint as checkpoints
from server.study.audit_log import AuditLog
from server.study.directory import StudyDirectory, read_prepared
from server.study.history_file import HistoryFile
from server.study.lock import hold_study
from server.tracking.marking import mark_all
from server.tracking.store import RunStatus
from server.tracking.tracker import Tracker

ENDINGS: dict[str, RunStatus] = {"complete": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}


def replay(root: Path, tracking_uri: str | None) -> Tracker:
    """Log the history, the reports and the adapters of a study that MLflow does not have yet; what is there stays.

    What a center that withdrew has there is marked.

    Args:
        root: the study's directory.
        tracking_uri: of an MLflow server; None for the store in the directory.

    Raises:
        StudyError: there is no study, it has not begun, or another process runs it: that one sends everything itself.
        StorageError: the store refuses or is away; call again, what was sent is not sent twice.
    """
    directory, study = StudyDirectory(root), read_prepared(root).study
    with hold_study(directory.lock, patience_s=0):
        history = HistoryFile(directory.checkpoint)
        state = checkpoints.load(directory.checkpoint, history)
        if state is None:
            raise StudyError(f"study {root} has not begun: it has no {directory.checkpoint.name}; launch it first")
        tracker = Tracker.open(root, study, run_ids=state.tracking, tracking_uri=tracking_uri)
        announce = AuditLog(directory.audit).announce_checkpoint
        checkpoints.save(directory.checkpoint, replace(state, tracking=tracker.run_ids), announce, history)
        tracker.catch_up(state)
        mark_all(tracker.store, directory, study.name, tracker.run_ids)
        tracker.finish(_ending(directory.result))
    return tracker


def _ending(result: Path) -> RunStatus:
    """How the study ended; a process that was killed leaves no result, or that of an earlier start."""
    found = read_result(result)
    status = "interrupted" if found is None else found["status"]
    return ENDINGS.get(status, "KILLED")
