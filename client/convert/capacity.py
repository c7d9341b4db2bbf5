"""How many cases a machine can convert at a time.

    jobs = min(cores, (A - R) / (P + k F)), at least 1

A is the memory that is free, R what is left to others, P what a process takes by itself, F the bytes of the files of
the largest case and k = 12 what it makes of a byte: 4.3 was measured for stored planes; compressed files hold a third.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from client.convert.case_conversion import Task

PROCESS_BYTES = 300 << 20
RESERVE_BYTES = 500 << 20
GROWTH = 12
MEMORY_FILE = Path("/proc/meminfo")


def fitting_jobs(tasks: Sequence[Task]) -> int:
    """Cases at a time on this machine, as it is now."""
    largest = max((_size(task) for task in tasks), default=0)
    return jobs_for(largest, cores=len(os.sched_getaffinity(0)), free_bytes=_free_bytes(MEMORY_FILE))


def jobs_for(largest_bytes: int, *, cores: int, free_bytes: int | None) -> int:
    """Cases at a time where the largest has files of so many bytes; by the cores alone where memory is unknown."""
    if free_bytes is None:
        return cores
    return max(1, min(cores, (free_bytes - RESERVE_BYTES) // (PROCESS_BYTES + GROWTH * largest_bytes)))


def _size(task: Task) -> int:
    return sum(path.stat().st_size for path in task.found.files if path.is_file())


def _free_bytes(memory_file: Path) -> int | None:
    try:
        lines = memory_file.read_text().splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return found[0] if found else None
