"""A disk without room: how full it is, whether it takes a file, and what to say where no writer of ours guards one."""

import contextlib
import errno
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import StorageError
from protocol.storage.atomic_files import free_bytes

REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota of this user is used up",
    errno.EFBIG: "the file would be larger than this user may make",
    errno.EROFS: "the disk can only be read",
}
PROBE_BYTES = 1 << 14
"""More than a line of a log with its head."""


@dataclass(frozen=True)
class DiskRoom:
    """The disk of a folder at one moment.

    refusal: why it did not take a file of `PROBE_BYTES`; "" where it did.
    """

    folder: Path
    free_bytes: int
    total_bytes: int
    refusal: str = ""

    @property
    def is_full(self) -> bool:
        """Whether it took no file for want of room; not where it can only be read, or this account may not write."""
        return self.refusal in {REASONS[errno.ENOSPC], REASONS[errno.EDQUOT]}


def look_at_disk(folder: Path) -> DiskRoom:
    """How full the disk of a folder is, and whether it takes a file, which is made, written through and removed.

    Args:
        folder: one that is there.
    """
    refusal = ""
    probe = folder / f".room.{secrets.token_hex(4)}.part"
    try:
        with os.fdopen(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0) as file:
            if file.write(bytes(PROBE_BYTES)) != PROBE_BYTES:
                refusal = REASONS[errno.ENOSPC]
            os.fsync(file.fileno())
    except OSError as error:
        refusal = REASONS.get(error.errno or 0, f"it refuses a file ({error.strerror or error})")
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
    try:
        usage = shutil.disk_usage(folder)
    except OSError as error:
        return DiskRoom(folder, 0, 0, refusal or f"it cannot be asked ({error.strerror or error})")
    return DiskRoom(folder, usage.free, usage.total, refusal)


def require_room(folder: Path, who: str) -> None:
    """Refuse work whose result could not be written down.

    Args:
        folder: where it would be.
        who: whose disk it is, for the message.

    Raises:
        StorageError: the disk takes no file.
    """
    room = look_at_disk(folder)
    if room.refusal:
        raise StorageError(
            f"{who}: {room.refusal} at {folder}, {room.free_bytes} bytes are free; nothing is begun whose result could "
            "not be written down. Free some space there: the same is asked again"
        )


def explain_full_disk(error: OSError) -> str:
    """What happened, where, and what to do; "" where the error is about something else than room."""
    reason = REASONS.get(error.errno or 0, "")
    if not reason:
        return ""
    place = Path(str(error.filename)) if error.filename else Path()
    where = f"{place}" if error.filename else f"a file, perhaps beside {place.absolute()}, or of the temporary folder"
    return (
        f"{reason}: cannot write {where}, {free_bytes(place)} bytes are free. Files that were there are untouched; "
        "free some space, then give the same command again"
    )
