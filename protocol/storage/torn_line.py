"""The last line of a growing log, where a crash or a full disk cut it off: kept aside, so that the log goes on whole.

A line ends with a line break, which is the last of its bytes to be written. What stands after the last break and is no
whole line was never recorded, and nothing was done on the strength of it. It goes into `LOG.torn` beside the log as it
is, and the log ends where it ended before.
"""

import json
import logging
import os
from io import FileIO
from pathlib import Path

logger = logging.getLogger(__name__)


def torn_path(log: Path) -> Path:
    """Where the lines that were cut off are kept, each as it was found."""
    return log.with_suffix(".torn")


def keep_torn_aside(log: Path, file: FileIO, known_bytes: int) -> None:
    """Move a last line that was cut off beside the log; whoever calls is the log's only writer.

    Args:
        log: its path.
        file: the log, open for reading and writing.
        known_bytes: what the head covers; nothing of it is moved.

    Raises:
        OSError: the disk refuses; the log is as it was.
    """
    size = file.seek(0, os.SEEK_END)
    if size <= known_bytes:
        return
    file.seek(known_bytes)
    torn = file.read().rpartition(b"\n")[2]
    if not torn or is_whole(torn):
        return
    aside = torn_path(log)
    with FileIO(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as kept:
        write_all(kept, torn + b"\n")
        os.fsync(kept.fileno())
    os.ftruncate(file.fileno(), size - len(torn))
    logger.warning(
        "%s ended in a line that was cut off after %d byte(s), by a crash or a full disk; it was never recorded, is "
        "kept in %s, and the log goes on without it",
        *(log, len(torn), aside),
    )


def count_torn(log: Path) -> int:
    """How many lines of a log were cut off and are kept beside it.

    Raises:
        OSError: the file cannot be read.
    """
    aside = torn_path(log)
    return aside.read_bytes().count(b"\n") if aside.exists() else 0


def write_all(file: FileIO, data: bytes) -> None:
    """Write all of `data` at once as far as the disk takes it; nothing stays in a buffer that is written later.

    Raises:
        OSError: the disk refuses; a part may be written.
    """
    left = memoryview(data)
    while left:
        left = left[file.write(left) or 0 :]


def is_whole(line: bytes) -> bool:
    """Whether a line is a whole JSON object."""
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
