"""A tracker of an MLflow server that may be away: nothing here stops a study, and little delays it.

What could not be sent is kept as pending, the newest of each kind; the study's history is the buffer, so that one wish
says everything since the beginning. A wish is tried again at the next occasion, yet a server that is away is asked for
at most a tenth of the time, and one that is slow for ten seconds at once.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from protocol.errors import StorageError
from server.study.file import Study
from server.study.history import History
from server.tracking.store import RunStatus, is_remote
from server.tracking.tracker import Ending, Tracker, store_of
from strategies.bank.bank import AdapterBank

logger = logging.getLogger(__name__)

AT_THE_START_S, AT_ONCE_S, AT_THE_END_S = 30.0, 10.0, 60.0
LAST_ATTEMPTS_S, BETWEEN_S = 5.0, 1.0
PAUSE_PER_SECOND = 10.0
KINDS = {
    "start": "the study's runs",
    "backbone": "the backbone's hash",
    "history": "rounds and scores",
    "models": "adapters",
    "outputs": "reports",
    "end": "the end of the runs",
}


class BufferedTracker(Ending):
    """A tracker whose methods never raise for a server that is away, slow or refuses.

    Args:
        tracker: of the server, not started yet.
        directory: the study's, named in the line that says how to send later what is missing.
    """

    def __init__(self, tracker: Tracker, directory: Path, run_ids: Mapping[str, str]) -> None:
        self._tracker, self._directory, self._run_ids = tracker, directory, dict(run_ids)
        self._wishes: dict[str, Callable[[], None]] = {"start": tracker.start}
        self._trouble, self._not_before = "", 0.0
        self._send(AT_THE_START_S)

    @property
    def uri(self) -> str:
        """The server."""
        return self._tracker.uri

    @property
    def run_ids(self) -> dict[str, str]:
        """The runs there are so far, for the checkpoint."""
        return {**self._run_ids, **self._tracker.run_ids}

    @property
    def behind(self) -> bool:
        """Whether MLflow lacks something."""
        return bool(self._wishes)

    def log_backbone(self, sha256: str) -> None:
        """The content hash of the frozen backbone."""
        self._wish("backbone", lambda: self._tracker.log_backbone(sha256))

    def catch_up(self, history: History) -> None:
        """All that the history says."""
        self._wish("history", lambda: self._tracker.catch_up(history))

    def publish(self, bank: AdapterBank) -> None:
        """The bank's adapters."""
        self._wish("models", lambda: self._tracker.publish(bank))

    def log_outputs(self, paths: Iterable[Path]) -> None:
        """Reports and results."""
        kept = list(paths)
        self._wish("outputs", lambda: self._tracker.log_outputs(kept))

    def finish(self, status: RunStatus) -> None:
        """End all runs after some last attempts to send what is missing; say what stays missing and how to send it."""
        self._wishes["end"] = lambda: self._tracker.finish(status)
        last_at = time.monotonic() + LAST_ATTEMPTS_S
        self._send(AT_THE_END_S)
        while self._wishes and time.monotonic() < last_at:  # a server that comes back answers some requests with errors
            time.sleep(BETWEEN_S)
            self._send(AT_THE_END_S)
        if self._wishes:
            missing = ", ".join(KINDS[kind] for kind in KINDS if kind in self._wishes)
            logger.warning(
                "not yet in MLflow: %s (%s). All of it is in %s; send it later with `concilium track %s --server %s`",
                missing,
                self._trouble,
                self._directory,
                self._directory,
                self.uri,
            )

    def _wish(self, kind: str, send: Callable[[], None]) -> None:
        self._wishes[kind] = send
        if time.monotonic() >= self._not_before:
            self._send(AT_ONCE_S)

    def _send(self, allowed_s: float) -> None:
        """Fulfil the pending in the order of `KINDS`; the first that fails keeps itself and all after it."""
        begun = time.monotonic()
        self._tracker.store.allow(allowed_s)
        try:
            for kind in [kind for kind in KINDS if kind in self._wishes]:
                self._wishes[kind]()
                del self._wishes[kind]
        except StorageError as error:
            self._failed(str(error), time.monotonic() - begun)
        else:
            if self._trouble:
                logger.warning("MLflow at %s answers again and has everything", self.uri)
            self._trouble = ""

    def _failed(self, trouble: str, seconds: float) -> None:
        if not self._trouble:
            logger.warning("%s. The study goes on; what is missing is sent when the server answers again", trouble)
        self._trouble = trouble
        self._tracker.forget()
        self._not_before = time.monotonic() + PAUSE_PER_SECOND * seconds


StudyTracker = Tracker | BufferedTracker


def open_tracker(
    directory: Path, study: Study, *, run_ids: Mapping[str, str], tracking_uri: str | None = None
) -> StudyTracker:
    """The tracker of a study: of a server, which may be away, or of a local store, which must work.

    Raises:
        StorageError: a local store cannot be opened or written; then the disk is full or damaged, and the study's
            own files are next.
    """
    if tracking_uri is None or not is_remote(tracking_uri):
        return Tracker.open(directory, study, run_ids=run_ids, tracking_uri=tracking_uri)
    return BufferedTracker(Tracker(store_of(directory, tracking_uri), study, run_ids), directory, run_ids)
