"""A study's tracker in a thread beside it: a round hands its state over and goes on.

Only the newest state waits for MLflow, since each says all that those before it said: nothing is left out, and rounds
that come faster than MLflow takes them go there together, in one batch a center. A study that ends waits for the last;
what a kill kept away is in the checkpoint, and the next start sends what MLflow lacks.
"""

import logging
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from protocol.errors import StorageError
from server.study.checkpoint import Checkpoint
from server.tracking.store import expect_old_ways
from server.tracking.tracker import Tracker

logger = logging.getLogger(__name__)


class BackgroundTracker:
    """Does what a tracker does, one thing after another, in a thread of its own.

    Args:
        tracker: is started there; nobody else may use it meanwhile.

    Raises:
        StorageError: a local store cannot be opened.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker, self._lock = tracker, threading.Lock()
        self._newest: Checkpoint | None = None
        self._around = ExitStack()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="tracking")
        self._failed: StorageError | None = None
        self._started: Future[None] | None = None

    def __enter__(self) -> Self:
        self._around.enter_context(warnings.catch_warnings())  # filters are the whole process's: set before the thread
        expect_old_ways()
        try:
            self._worker.submit(self._tracker.open_store).result()
        except BaseException:
            self._end()
            raise
        self._started = self._worker.submit(self._attempt, self._tracker.start)
        return self

    @property
    def run_ids(self) -> dict[str, str]:
        """The runs that are made by now; those of a study that has just begun may be missing."""
        return dict(self._tracker.run_ids)

    def wait_for_runs(self) -> None:
        """Wait until every run is made or cannot be made, so that a checkpoint names all of them.

        Raises:
            StorageError: a local store refuses.
        """
        if self._started is not None:
            self._started.result()
        self._complain()

    def catch_up(self, state: Checkpoint) -> None:
        """Have sent, later, what this state says and MLflow lacks.

        Raises:
            StorageError: a local store refused what was sent before.
        """
        self._complain()
        with self._lock:
            waits, self._newest = self._newest is not None, state
        if not waits:
            self._worker.submit(self._attempt, self._send)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for what is still to be sent, and end all runs as the study ended.

        Raises:
            StorageError: a local store refuses, and the study itself has not failed.
        """
        try:
            self._worker.submit(self._attempt, lambda: self._tracker.__exit__(kind, error, trace)).result()
            if kind is None:
                self._complain()
            elif self._failed is not None:
                logger.warning("%s", self._failed)
        finally:
            self._end()

    def _send(self) -> None:
        with self._lock:
            state, self._newest = self._newest, None
        if state is not None:
            self._tracker.catch_up(state)

    def _attempt(self, act: Callable[[], None]) -> None:
        """In the thread: nothing more once the store has refused something."""
        if self._failed is None:
            try:
                act()
            except StorageError as error:
                self._failed = error

    def _complain(self) -> None:
        if self._failed is not None:
            raise self._failed

    def _end(self) -> None:
        self._worker.shutdown()
        self._around.close()
