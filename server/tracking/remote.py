"""A study in an MLflow server that may be away: nothing here stops a study, and little delays it.

Nothing is buffered: whatever MLflow lacks is in the study's directory, and the next `catch_up` sends it. A server that
is away is asked for at most a tenth of the time, and one that is slow for ten seconds at once.
"""

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from protocol.errors import StorageError
from server.study.checkpoint import Checkpoint
from server.study.directory import StudyDirectory
from server.study.file import Study
from server.tracking.store import RunStatus, is_remote
from server.tracking.tracker import Tracker, store_of

logger = logging.getLogger(__name__)

AT_THE_START_S, AT_ONCE_S, AT_THE_END_S = 30.0, 10.0, 60.0
LAST_ATTEMPTS, BETWEEN_S = 5, 0.5
PAUSE_PER_SECOND = 10.0


class RemoteTracker(Tracker):
    """A tracker whose methods never raise for a server that is away, slow or refuses.

    Attributes:
        behind: what the server last refused, "" while MLflow lacks nothing.
    """

    behind = ""
    _state: Checkpoint | None = None
    _not_before = 0.0

    def open_store(self) -> None:
        """Nothing: a server that is away is no trouble."""

    def start(self) -> None:
        """Continue or make every run, now or with a later `catch_up`."""
        self._attempt(super().start, AT_THE_START_S)

    def catch_up(self, state: Checkpoint) -> None:
        """Send what MLflow lacks; what fails is sent with a later call."""
        self._state = state
        if time.monotonic() >= self._not_before:
            self._attempt(lambda: self._send(state), AT_ONCE_S)

    def finish(self, status: RunStatus) -> None:
        """End all runs after some last attempts to send what is missing; say how to send what stays missing."""
        for attempt in range(LAST_ATTEMPTS):  # a server that comes back answers some requests with errors
            time.sleep(BETWEEN_S if attempt else 0)
            self._attempt(lambda: self._end(status), AT_THE_END_S)
            if not self.behind:
                return
        logger.warning(
            "not yet in MLflow: a part of the study (%s). All of it is in %s; send it later with "
            "`concilium track %s --server %s`",
            self.behind,
            self.directory.root,
            self.directory.root,
            self.uri,
        )

    def _send(self, state: Checkpoint) -> None:
        super().start()
        super().catch_up(state)

    def _end(self, status: RunStatus) -> None:
        if self._state is not None:
            self._send(self._state)
        super().finish(status)

    def _attempt(self, send: Callable[[], None], allowed_s: float) -> None:
        """Send, and say the first failure of an outage and its end."""
        begun = time.monotonic()
        self.store.allow(allowed_s)
        try:
            send()
        except StorageError as error:
            if not self.behind:
                logger.warning("%s. The study goes on; what is missing is sent when the server answers again", error)
            self.behind = str(error)
            self.forget()
            self._not_before = time.monotonic() + PAUSE_PER_SECOND * (time.monotonic() - begun)
        else:
            if self.behind:
                logger.warning("MLflow at %s answers again and has everything", self.uri)
            self.behind = ""


def open_tracker(root: Path, study: Study, *, run_ids: Mapping[str, str], tracking_uri: str | None = None) -> Tracker:
    """The tracker of a study, started: of a server, which may be away, or of a local store, which must work.

    Raises:
        StorageError: a local store cannot be opened or written; then the disk is full or damaged, and the study's
            own files are next.
    """
    tracker = make_tracker(root, study, run_ids=run_ids, tracking_uri=tracking_uri)
    tracker.start()
    return tracker


def make_tracker(root: Path, study: Study, *, run_ids: Mapping[str, str], tracking_uri: str | None = None) -> Tracker:
    """As `open_tracker`, and not started yet.

    Raises:
        StorageError: the study's directory cannot be written.
    """
    kind = RemoteTracker if tracking_uri is not None and is_remote(tracking_uri) else Tracker
    return kind(store_of(root, tracking_uri), StudyDirectory(root), study, run_ids)
