"""Files that somebody else put there, opened without trust: never waited for, never read beyond a bound."""

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

SUPERUSER = 0


def open_regular(path: Path) -> BufferedReader:
    """A file opened to be read; a pipe, socket, device or folder is refused instead of waited for.

    Raises:
        OSError: it is none, or cannot be opened.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(0, "it is no regular file")
    return os.fdopen(handle, "rb")


def read_whole(path: Path) -> bytes:
    """All bytes of a file that its own program wrote, however many.

    Raises:
        OSError: it is no regular file, or cannot be read.
    """
    with open_regular(path) as file:
        return file.read()


def open_own(path: Path) -> BufferedReader:
    """A file of this account's or root's, opened to be read; a link is not followed.

    Raises:
        OSError: it is another account's, a link or no regular file, or cannot be opened.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        os.close(handle)
        raise OSError(0, "it is no regular file")
    if found.st_uid not in {os.geteuid(), SUPERUSER}:
        os.close(handle)
        raise OSError(errno.EPERM, f"it belongs to account number {found.st_uid}, expected {os.geteuid()}")
    return os.fdopen(handle, "rb")


def read_regular(path: Path, most_bytes: int) -> bytes:
    """The bytes of a file.

    Raises:
        OSError: it is no regular file, cannot be read, or has more bytes than that.
    """
    with open_regular(path) as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise OSError(0, f"it has more than {most_bytes} bytes")
    return data
