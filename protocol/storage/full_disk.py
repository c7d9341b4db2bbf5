"""A disk without room, told in a sentence wherever a file is written that no writer of ours guards."""

import errno
from pathlib import Path

from protocol.storage.atomic_files import free_bytes

REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota of this user is used up",
    errno.EFBIG: "the file would be larger than this user may make",
    errno.EROFS: "the disk can only be read",
}


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
