"""One study, one writer: whoever runs a study holds its `study.lock`, which the kernel frees when that process ends."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from protocol.errors import StorageError, StudyError
from protocol.storage.locks import LockHeldError, hold_lock

logger = logging.getLogger(__name__)

PATIENCE_S = 120.0


class StudyInUseError(StudyError):
    """Another process runs the study."""

    code = "study-in-use"


@contextmanager
def hold_study(lock: Path, *, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Hold a study's lock; another process that is about to end is waited for.

    Args:
        lock: its file, which names the process that holds it; made where it is missing, and left there.
        patience_s: seconds to wait for the holder; one that was killed holds nothing any more.

    Raises:
        StudyError: there is no such directory.
        StudyInUseError: another process still holds it; names that process.
        StorageError: the disk refuses the file, or cannot lock files.
    """
    with ExitStack() as held:
        try:
            _acquire(held, lock, patience_s)
        except FileNotFoundError as error:
            raise StudyError(f"study directory {lock.parent} does not exist; prepare the study first") from error
        except OSError as error:
            raise StorageError(
                f"cannot lock {lock} ({error.strerror or error}); a study's directory needs a disk that can lock files "
                "and that this user may write"
            ) from error
        yield


def _acquire(held: ExitStack, lock: Path, patience_s: float) -> None:
    try:
        held.enter_context(hold_lock(lock))
    except LockHeldError as error:
        logger.warning("study %s is run by process %s; waiting for its end", lock.parent, error.holder)
    else:
        return
    try:
        held.enter_context(hold_lock(lock, wait_s=patience_s))
    except LockHeldError as error:
        raise StudyInUseError(
            f"study {lock.parent} is run by process {error.holder}, and still after {patience_s:g} s; two would spoil "
            "each other's checkpoints. Wait for its end or stop it, then run the study again"
        ) from error
