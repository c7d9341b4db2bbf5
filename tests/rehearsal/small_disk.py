"""A disk of its own for one folder, which is full at a word and has room again at another.

A file system in memory, whose limit is set to what lies there: nothing has to be written to fill it.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.rehearsal.network import RehearsalError

ROOM_BYTES = 4 << 30
ATTEMPTS = 50


@contextmanager
def small_disks(*folders: Path) -> Iterator[None]:
    """Give each folder a disk of its own, until the block ends."""
    mounted = []
    try:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            _run("mount", "-t", "tmpfs", "-o", f"size={ROOM_BYTES},mode=0700", "tmpfs", str(folder))
            mounted.append(folder)
        yield
    finally:
        for folder in reversed(mounted):
            _run("umount", "--lazy", str(folder))


def fill(folder: Path) -> None:
    """Leave no room on a folder's disk, while programs write to it.

    Raises:
        RehearsalError: they were faster each time.
    """
    for _ in range(ATTEMPTS):
        if _is_resized(folder, used_bytes(folder)) and free_bytes(folder) == 0:
            return
    raise RehearsalError(f"the disk of {folder} could not be filled")


def make_room(folder: Path) -> None:
    """Give the disk its room back."""
    if not _is_resized(folder, ROOM_BYTES):
        raise RehearsalError(f"the disk of {folder} could not be given its room back")


def used_bytes(folder: Path) -> int:
    """What lies on the disk of a folder."""
    found = os.statvfs(folder)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def free_bytes(folder: Path) -> int:
    """What a folder's disk still takes."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _is_resized(folder: Path, size_bytes: int) -> bool:
    """Whether the disk has this size now; the kernel refuses one below what lies there."""
    command = ("mount", "-o", f"remount,size={size_bytes}", str(folder))
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _run(*command: str) -> None:
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        raise RehearsalError(f"`{' '.join(command)}` failed: {found.stderr.strip()}")
