"""What a trainer does now, for people at its own center: `activity.json` in its home, which never leaves.

    {"kind", "stage", "server_round", "since", "until", "error", "done"}

`until` is null while it works; `done` counts the steps and cases behind it. While the program runs the file is touched
every few seconds, so that one which is old says that no trainer is there; a trainer that is no program of its own, as
in a simulation, writes none. A disk that refuses costs a line in the log, never the work.
"""

import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from client.learning.cancellation import Check
from protocol.errors import StorageError
from protocol.messages.instruction import Instruction
from protocol.storage.atomic_files import write_private
from protocol.storage.regular_files import read_regular

logger = logging.getLogger(__name__)

ACTIVITY = "activity.json"
BEAT_S, SILENT_S = 4.0, 15.0
MOST_BYTES = 1 << 16


class Doing(BaseModel):
    """An instruction under way, or the last one that was done."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: str = ""
    stage: str = ""
    server_round: int = 0
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

    @contextmanager
    def during(self, instruction: Instruction, check: Check) -> Iterator[Check]:
        """Tell of an instruction until the block ends; what is called in place of `check` counts steps and cases."""
        place = {"kind": instruction.kind, "stage": instruction.stage, "server_round": instruction.server_round}
        self._tell(Doing.model_validate({**place, "since": datetime.now(UTC)}))
        count = 0

        def counting() -> None:
            nonlocal count
            check()
            count += 1
            if self._doing is not None:
                self._doing = self._doing.model_copy(update={"done": count})

        error = "interrupted"
        try:
            yield counting
            error = ""
        finally:
            if self._doing is not None:
                self._tell(self._doing.model_copy(update={"until": datetime.now(UTC), "error": error}))

    @contextmanager
    def beating(self, every_s: float = BEAT_S) -> Iterator[None]:
        """Say every few seconds that the trainer is there, and how far it is, until the block ends."""
        ended, self._is_beating = threading.Event(), True
        self._tell(self._doing or Doing(since=datetime.now(UTC), until=datetime.now(UTC)))
        thread = threading.Thread(target=self._beat, args=(ended, every_s), name="trainer-activity", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self._is_beating = False
            self._path.unlink(missing_ok=True)

    def _beat(self, ended: threading.Event, every_s: float) -> None:
        while not ended.wait(every_s):
            doing = self._doing
            if doing is not None and doing.done != self._told:
                self._tell(doing)
            else:
                with suppress(OSError):
                    os.utime(self._path)

    def _tell(self, doing: Doing) -> None:
        with self._lock:
            self._doing, self._told = doing, doing.done
            if not self._is_beating:
                return
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
