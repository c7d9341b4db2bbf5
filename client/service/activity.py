"""What a trainer does now, for people at its own center: `activity.json` in its home, which never leaves, and its log.

    {"work", "since", "until", "error", "done"}

`work` is in the words of `work_told`, "" where nothing was asked yet; `until` is null while it is under way; `error` is
the code with which it ended; `done` counts the steps and cases behind it. While the program runs the file is touched
every few seconds, so that one which is old says that no trainer is there; a trainer that is no program of its own, as
in a simulation, writes none and tells nothing. A disk that refuses costs a line in the log, never the work.
"""

import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from client.learning.cancellation import Check
from client.service.work_told import describe_work, tell_begun, tell_done, tell_progress
from protocol.errors import ConciliumError, StorageError
from protocol.messages.instruction import Instruction
from protocol.storage.atomic_files import write_private
from protocol.storage.regular_files import read_regular

logger = logging.getLogger(__name__)

ACTIVITY = "activity.json"
BEAT_S, SILENT_S = 2.0, 7.0
"""A page that looks every two seconds names a trainer that was killed within ten."""
TELL_EVERY = timedelta(minutes=1)
MOST_BYTES = 1 << 16


class Doing(BaseModel):
    """Work under way, or the last that was done."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    work: str = ""
    since: AwareDatetime
    until: AwareDatetime | None = None
    error: str = ""
    done: int = 0


class Activity:
    """Tells what the trainer of a home does.

    Args:
        home: of the trainer.
    """

    def __init__(self, home: Path) -> None:
        self._path, self._lock = home / ACTIVITY, threading.Lock()
        self._doing: Doing | None = None
        self._told, self._is_beating = 0, False
        self._progress_at = datetime.now(UTC)

    def begin(self, work: str) -> None:
        """Tell what is done before anything can be asked."""
        self._tell(Doing(work=work, since=datetime.now(UTC)))
        tell_begun(work)

    def wait(self) -> None:
        """Tell that from now on instructions are waited for."""
        self._tell(Doing(since=datetime.now(UTC), until=datetime.now(UTC)))
        tell_begun("waits for the coordinator")

    @contextmanager
    def during(self, instruction: Instruction, check: Check) -> Iterator[Check]:
        """Tell of an instruction until the block ends; what is called in place of `check` counts steps and cases."""
        work, count = describe_work(instruction), 0
        self._tell(Doing(work=work, since=datetime.now(UTC)))
        if self._is_beating:
            tell_begun(work)

        def counting() -> None:
            nonlocal count
            check()
            count += 1
            self._note(done=count)

        error = "interrupted"
        try:
            yield counting
            error = ""
        except ConciliumError as failed:
            error = failed.code
            raise
        finally:
            self._end(error)

    def fail(self, error: str) -> None:
        """Note the code with which what is under way was answered; "" where it was done."""
        self._note(error=error)

    @contextmanager
    def beating(self, every_s: float = BEAT_S, tell_every: timedelta = TELL_EVERY) -> Iterator[None]:
        """Say every few seconds that the trainer is there, and in its log at times how far, until the block ends."""
        ended, self._is_beating = threading.Event(), True
        self._tell(self._doing or Doing(since=datetime.now(UTC), until=datetime.now(UTC)))
        thread = threading.Thread(
            target=self._beat, args=(ended, every_s, tell_every), name="trainer-activity", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self._is_beating = False
            self._path.unlink(missing_ok=True)

    def _note(self, **facts: int | str) -> None:
        if self._doing is not None:
            self._doing = self._doing.model_copy(update=facts)

    def _end(self, error: str) -> None:
        doing = self._doing
        if doing is None:
            return
        ended = doing.model_copy(update={"until": datetime.now(UTC), "error": error or doing.error})
        self._tell(ended)
        if self._is_beating:
            tell_done(ended.work, ended.error, (datetime.now(UTC) - ended.since).total_seconds())

    def _beat(self, ended: threading.Event, every_s: float, tell_every: timedelta) -> None:
        while not ended.wait(every_s):
            doing = self._doing
            if doing is not None and doing.done != self._told:
                self._write()
            else:
                with suppress(OSError):
                    os.utime(self._path)
            if doing is not None and doing.until is None:
                self._tell_progress(doing, datetime.now(UTC), tell_every)

    def _tell_progress(self, doing: Doing, now: datetime, every: timedelta) -> None:
        if now - max(doing.since, self._progress_at) >= every:
            self._progress_at = now
            tell_progress(doing.work, doing.done, (now - doing.since).total_seconds())

    def _tell(self, doing: Doing) -> None:
        self._doing = doing
        self._write()

    def _write(self) -> None:
        """What stands now: what a beat read a moment ago may be over."""
        with self._lock:
            doing = self._doing
            if doing is None or not self._is_beating:
                return
            self._told = doing.done
            try:
                write_private(self._path, doing.model_dump_json().encode())
            except StorageError as error:
                logger.warning("what this trainer does is not told to its own center: %s", error)


def read_activity(home: Path) -> tuple[Doing | None, float]:
    """What was told last, None where nothing can be read, and how many seconds ago the trainer was there."""
    path = home / ACTIVITY
    try:
        silent_s = max(0.0, time.time() - path.stat().st_mtime)
        return Doing.model_validate(json.loads(read_regular(path, MOST_BYTES))), silent_s
    except (OSError, ValueError, ValidationError):
        return None, float("inf")
