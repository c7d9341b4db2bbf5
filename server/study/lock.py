"""One study, one writer: whoever runs a study holds its `study.lock`, which the kernel frees when that process ends."""

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from protocol.errors import StorageError, StudyError

logger = logging.getLogger(__name__)

PATIENCE_S, LOOK_S = 120.0, 0.2


class StudyInUseError(StudyError):
    """Another process runs the study."""

    code = "study-in-use"


@contextmanager
def held(lock: Path, *, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Hold a study's lock; another process that is about to end is waited for.

    Args:
        lock: its file, which names the process that holds it; made where it is missing, and left there.
        patience_s: seconds to wait for the holder; one that was killed holds nothing any more.

    Raises:
        StudyError: there is no such directory.
        StudyInUseError: another process still holds it; names that process.
        StorageError: the disk refuses the file, or cannot lock files.
    """
    try:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    except FileNotFoundError as error:
        raise StudyError(f"study directory {lock.parent} does not exist; prepare the study first") from error
    except OSError as error:
        raise _refused(lock, error) from error
    try:
        _acquire(handle, lock, patience_s)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def _acquire(handle: int, lock: Path, patience_s: float) -> None:
    ends_at, told = time.monotonic() + patience_s, False
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = lock.read_text().strip() or "unknown"
            if time.monotonic() >= ends_at:
                raise StudyInUseError(
                    f"study {lock.parent} is run by process {holder}, and still after {patience_s:g} s; two would "
                    "spoil each other's checkpoints. Wait for its end or stop it, then run the study again"
                ) from error
        except OSError as error:
            raise _refused(lock, error) from error
        else:
            return
        if not told:
            logger.warning("study %s is run by process %s; waiting for its end", lock.parent, holder)
            told = True
        time.sleep(LOOK_S)


def _refused(lock: Path, error: OSError) -> StorageError:
    return StorageError(
        f"cannot lock {lock} ({error.strerror or error}); a study's directory needs a disk that can lock files and "
        "that this user may write"
    )
