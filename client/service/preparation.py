"""Prepares many cases at once, a process a core, into the cache; each case's arrays are those that one process makes.

Few or small cases are left to whoever asks for them: to start a process takes longer than to prepare them. An
interrupted run goes on where the cache ends.
"""

import logging
import multiprocessing
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path

import SimpleITK as sitk

from client.data.cache_file import is_cached
from client.data.manifest import Case
from client.data.preprocessing import cache_entry, prepare_once
from client.data.workers import Crew
from protocol.messages.settings import Preprocessing

logger = logging.getLogger(__name__)

FEWEST_VOXELS = 50_000_000
"""About five seconds of one core."""
BYTES_PER_VOXEL = 16
"""Peak memory of a worker for each voxel of a case's CT: stored and as float, smoothed and being smoothed."""
MEMORY = Path("/proc/meminfo")


@dataclass(frozen=True)
class Job:
    """One case to prepare."""

    case: Case
    settings: Preprocessing
    cache: Path


def prepare_missing(jobs: Sequence[Job], check: Callable[[], None]) -> None:
    """Prepare those that the cache lacks, all cores at work, unless they are few; one that fails is left for later.

    Args:
        jobs: cases with images.
        check: called after each case; what it raises ends the workers.
    """
    missing = [job for job in jobs if not is_cached(cache_entry(job.case.checksums, job.settings, job.cache))]
    workers = count_workers(missing)
    if workers < 2 or sum(map(_voxels, missing)) < FEWEST_VOXELS:
        return
    threads = max(1, _cores() // workers)
    crew = Crew(_prepare, partial(sitk.ProcessObject.SetGlobalDefaultNumberOfThreads, threads), workers, lambda: False)
    logger.info("%d case(s) to prepare, %d at a time", len(missing), workers)
    for done, (job, result) in enumerate(crew.run(missing), start=1):
        check()
        if isinstance(result, Exception):
            logger.warning("case '%s' is prepared again, alone: %s", job.case.name, result)
        logger.info("prepared %d of %d case(s)", done, len(missing))


def count_workers(jobs: Sequence[Job]) -> int:
    """A worker a core, as far as there are cases and memory; 1 in a process that may start none."""
    if not jobs or multiprocessing.current_process().daemon:
        return 1
    fitting = _available_bytes() // (BYTES_PER_VOXEL * max(map(_voxels, jobs), default=1) or 1)
    return max(1, min(_cores(), len(jobs), fitting))


def _prepare(job: Job) -> None:
    prepare_once(job.case.name, job.case.paths, job.case.checksums, job.settings, job.cache)


def _voxels(job: Job) -> int:
    return max((prod(grid.shape_zyx) for grid in job.case.grids.values()), default=0)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _available_bytes() -> int:
    """Memory that can be used without swapping; where nobody says, enough for every core."""
    try:
        lines = MEMORY.read_text().splitlines()
    except OSError:
        lines = []
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return found[0] if found else 1 << 62
