"""How much memory can be had, and images that are too large for it: refused before they are read.

A file of a few megabytes can unpack to many gigabytes; a program that reads it is ended by the system, and with it the
work on all other cases.
"""

from pathlib import Path

from protocol.errors import CaseError

MEMORY_FILE = Path("/proc/meminfo")
CONTROL_GROUP = Path("/sys/fs/cgroup")
LARGEST_VOXELS = 1 << 31
"""Four times a whole body of 2,000 slices of 512 x 512."""
UNASKED_BYTES = 256 << 20
"""What a machine that trains has in any case; memory is not asked for images of fewer bytes."""
WORKING_BYTES = 4 + 3
"""Beside the stored values a voxel takes, while it is checked, a float32 and the masks of the checks."""


class LowMemoryError(CaseError):
    """An image that does not fit into the memory that is free."""


def raise_if_too_large(path: Path, voxels: int, itemsize: int) -> None:
    """Refuse an image of so many voxels, of so many stored bytes each.

    Raises:
        CaseError: no scanner takes so many.
        LowMemoryError: it would not fit.
    """
    if voxels > LARGEST_VOXELS:
        raise CaseError(f"image {path} has {voxels} voxels, expected at most {LARGEST_VOXELS}; export it again")
    needed = voxels * (itemsize + WORKING_BYTES)
    free = free_bytes() if needed > UNASKED_BYTES else None
    if free is not None and needed > free:
        raise LowMemoryError(
            f"image {path} has {voxels} voxels and needs {needed >> 20} MiB of memory, {free >> 20} MiB are free; "
            "close other programs, or use a machine with more memory"
        )


def free_bytes(memory_file: Path = MEMORY_FILE, control_group: Path = CONTROL_GROUP) -> int | None:
    """Memory that can be used without swapping, within the limit of the container; None where nobody says."""
    available = _fields(memory_file).get("MemAvailable")
    here = _left_in_group(control_group)
    known = [value for value in (None if available is None else available * 1024, here) if value is not None]
    return min(known, default=None)


def _left_in_group(folder: Path) -> int | None:
    """What a container may still take; pages of files that it has read are given back when memory is needed."""
    try:
        limit, used = (int((folder / name).read_text()) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):
        return None
    return max(0, limit - used + _fields(folder / "memory.stat").get("file", 0))


def _fields(path: Path) -> dict[str, int]:
    """Names and whole numbers of a file of the system; empty where it cannot be read."""
    try:
        rows = [line.replace(":", " ").split() for line in path.read_text().splitlines()]
    except OSError:
        return {}
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdecimal()}
