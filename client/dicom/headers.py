"""Reads the headers of many files on all cores."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

from client.dicom.findings import NotDicomError, UnreadableFileError
from client.dicom.objects import read_instance
from client.dicom.series import Instance

FEWEST_FOR_PROCESSES = 2000
"""Below this, starting processes takes longer than reading."""
FILES_A_TASK = 100


@dataclass(frozen=True)
class Passed:
    """A file that gives no instance, and why."""

    path: Path
    why: Literal["not-dicom", "unreadable"]
    found: str = ""


def read_instances(files: Sequence[Path], *, progress: Callable[[int], None]) -> Iterator[Instance | Passed]:
    """What each file holds, in the order of the files; `progress` is told how many were read."""
    for number, found in enumerate(_read_all(files), start=1):
        yield found
        progress(number)


def _read_all(files: Sequence[Path]) -> Iterator[Instance | Passed]:
    workers = _cores()
    if len(files) < FEWEST_FOR_PROCESSES or workers == 1:
        yield from map(_read, files)
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_leave_interrupts_to_parent) as pool:
        yield from pool.map(_read, files, chunksize=FILES_A_TASK)


def _read(path: Path) -> Instance | Passed:
    try:
        return read_instance(path)
    except NotDicomError:
        return Passed(path, "not-dicom")
    except UnreadableFileError as error:
        return Passed(path, "unreadable", error.found)


def _leave_interrupts_to_parent() -> None:
    """Ctrl-C reaches all processes of a terminal; the parent stops the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _cores() -> int:
    return len(os.sched_getaffinity(0))
