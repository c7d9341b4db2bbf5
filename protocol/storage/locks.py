"""Locks that processes hold on files: the kernel frees one when its process ends, however that ends.

The file stays and names its last holder. A disk that cannot lock files is an error, not a lock of another kind.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

POLL_S = 0.05
FOREVER_S = -1.0


class LockHeldError(Exception):
    """Somebody else holds the lock; `holder` is the process number in its file, "unknown" where it names none."""

    def __init__(self, path: Path) -> None:
        self.holder = path.read_text().strip() or "unknown"
        super().__init__(f"{path} is held by process {self.holder}")


@contextmanager
def hold_lock(
    path: Path,
    *,
    wait_s: float = 0.0,
    mode: int | None = None,
    otherwise: Callable[[LockHeldError], Exception] | None = None,
) -> Iterator[None]:
    """Hold the lock on `path` until the block ends.

    Args:
        path: its file, made where it is missing; its folder has to be there.
        wait_s: seconds to wait for another holder; FOREVER_S for as long as it takes.
        mode: of a file that is made; None for what the umask leaves of 0666.
        otherwise: what to raise in place of a LockHeldError.

    Raises:
        LockHeldError: another one still holds it.
        OSError: the folder is missing, or the disk refuses the file or cannot lock.
    """
    lock = _lock_on(path, mode)
    try:
        lock.acquire(timeout=wait_s, poll_interval=POLL_S)
    except Timeout as error:
        held = LockHeldError(path)
        raise (otherwise(held) if otherwise else held) from error
    try:
        yield
    finally:
        lock.release()


def is_held(path: Path) -> bool:
    """Whether anybody holds the lock on `path`; no file is made by asking."""
    if not path.exists():
        return False
    lock = FileLock(path, fallback_to_soft=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def _lock_on(path: Path, mode: int | None) -> FileLock:
    # The library would make the folders too; a study that is not there must not come into being.
    path.parent.stat()
    if mode is None:
        return FileLock(path, fallback_to_soft=False, on_acquired=_name_holder)
    return FileLock(path, mode=mode, fallback_to_soft=False, on_acquired=_name_holder)


def _name_holder(handle: int) -> None:
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
