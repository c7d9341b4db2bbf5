"""What the trainer does now, on the terminal of `join`: the lines of its log that tell of work, as they come."""

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

from client.service import work_told

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0
MOST_BYTES = 1 << 20
MARK = f" {work_told.logger.name} "


class WorkShown:
    """Follows a trainer's log from its end on.

    Args:
        log: the file; it may be made, cut or replaced meanwhile.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._read = log.stat().st_size if log.exists() else 0

    def start(self, look_every_s: float = LOOK_EVERY_S) -> threading.Event:
        """Show new lines until the event that this gives is set."""
        ended = threading.Event()
        threading.Thread(target=self._follow, args=(ended, look_every_s), name="work-shown", daemon=True).start()
        return ended

    def new_lines(self) -> Iterator[str]:
        """What the trainer has told of its work since the last call."""
        try:
            size = self._log.stat().st_size
            with self._log.open("rb") as file:
                file.seek(self._read if self._read <= size else 0)
                data = file.read(MOST_BYTES)
                start = file.tell() - len(data)
        except OSError:
            return
        whole = data.rpartition(b"\n")[0]
        self._read = start + len(whole) + bool(whole)
        for line in whole.decode(errors="replace").splitlines():
            _, mark, told = line.partition(MARK)
            if mark:
                yield told

    def _follow(self, ended: threading.Event, look_every_s: float) -> None:
        while not ended.wait(look_every_s):
            for line in self.new_lines():
                logger.info("trainer: %s", line)
