"""How full the coordinator's disk is, as an alarm with its remedy: for watchdog, `concilium status` and the page."""

from protocol.storage.full_disk import DiskRoom, look_at_disk
from server.study.directory import StudyDirectory

DISK = "the coordinator's disk"
"""How each of these alarms begins."""
LEAST_BYTES, LOW_SHARE, LOW_BYTES = 1 << 30, 0.05, 10 << 30
"""Low is less than a twentieth of the disk, at most 10 GiB; below 1 GiB it is low in any case."""
UNITS = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def look_at(directory: StudyDirectory) -> DiskRoom:
    """The room on the disk of a study's directory now, and whether it takes a file."""
    return look_at_disk(directory.root)


def disk_alarms(room: DiskRoom) -> tuple[str, ...]:
    """What a person should know of the disk; nothing where there is room."""
    left = f"{_size(room.free_bytes)} of {_size(room.total_bytes)} are free at {room.folder}"
    if room.refusal:
        remedy = "free some space there" if room.is_full else "put it right"
        what = f"{DISK} takes no file: {room.refusal}, {left}. No round can be kept"
        return (f"{what}; {remedy}, and the study goes on by itself after its last completed round",)
    if room.free_bytes < max(LEAST_BYTES, min(int(LOW_SHARE * room.total_bytes), LOW_BYTES)):
        return (f"{DISK} is nearly full: {left}. Free some space there before a round cannot be kept",)
    return ()


def _size(count: int) -> str:
    for unit, name in UNITS:
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count} bytes"
