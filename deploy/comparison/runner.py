"""Runs of a benchmark in worker processes: a few at a time, in order, each continued where it stopped.

A run that fails is written down and retried at the next start; a process that dies takes only the runs in flight along.
"""

import multiprocessing
import os
import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from deploy.comparison.worker import ERROR, THREAD_VARIABLES, RunJob, carry_out, ready
from protocol.storage.atomic_files import make_private_folder

MINUTE_S = 60
DIED = "the worker process died, perhaps for want of memory; try fewer --jobs"
WHOLE_RUN_S = 1e6


class TimeUpError(Exception):
    """The time that was given for this start is over; what was complete is on disk."""


@dataclass(frozen=True)
class Workforce:
    """What one start of the command has to carry out runs with.

    data, cache, device: of every job. workers: processes at the same time. deadline_s: of the monotonic clock, when to
    stop; None for never. console: told of what is under way.
    """

    data: Path
    cache: Path
    device: str
    workers: int
    deadline_s: float | None
    console: Console

    def job(self, name: str, study_file: Path, out: Path, *, threads: int, backbone: Path | None = None) -> RunJob:
        """A run for these workers."""
        return RunJob(name, study_file, self.data, out, self.device, self.cache, threads, backbone)


class Progression:
    """A bar over all runs with the time left, and a line for each run that ends, with when the last one may end."""

    def __init__(self, console: Console, *, title: str, total: int, completed: int) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        self._progress = Progress(
            *columns,
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            speed_estimate_period=WHOLE_RUN_S,
        )
        self._console, self._title = console, title
        self._left, self._ended, self._start = total - completed, 0, time.monotonic()
        self._task = self._progress.add_task(title, total=total, completed=completed)
        self._running: list[str] = []

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def start(self, job: RunJob) -> None:
        """A run is under way."""
        self._running.append(job.name)
        self._describe()

    def end(self, job: RunJob, error: str) -> None:
        """A run is complete, or stopped by `error`."""
        self._running.remove(job.name)
        self._ended += 1
        if error:
            self._console.print(f"[red]failed[/red]   {job.name}: {error} (see {job.out / ERROR})", highlight=False)
        else:
            self._console.print(f"complete {job.name}{self._words_left()}", highlight=False)
        self._progress.advance(self._task)
        self._describe()

    def _words_left(self) -> str:
        """How long the others may take at the pace of this start: those under way count half."""
        others = self._left - self._ended
        if not others:
            return ""
        pace_s = (time.monotonic() - self._start) / (self._ended + len(self._running) / 2)
        left_s = pace_s * (others - len(self._running) / 2)
        end = (datetime.now(UTC) + timedelta(seconds=left_s)).astimezone()
        return f" ({others} left, about {left_s / MINUTE_S:.0f} min, until {end:%H:%M})"

    def _describe(self) -> None:
        self._progress.update(self._task, description=", ".join(self._running) or self._title)


def run_all(
    jobs: Sequence[RunJob],
    *,
    workers: int,
    threads: int,
    progression: Progression,
    deadline_s: float | None = None,
) -> Mapping[str, str]:
    """Carry out jobs, `workers` at a time and in order; return what stopped each one that failed, by its name.

    An interrupt ends the worker processes and is passed on; what they had completed is on disk.

    Raises:
        TimeUpError: `deadline_s` of the monotonic clock came first; the worker processes were ended likewise.
    """
    left, failed = deque(jobs), dict[str, str]()
    with _threads(threads):
        while left:
            failed |= _until_a_process_dies(left, workers, progression, deadline_s)
    return failed


def _until_a_process_dies(
    left: deque[RunJob], workers: int, progression: Progression, deadline_s: float | None
) -> dict[str, str]:
    """Take jobs from `left` until it is empty or the pool breaks; returns the failures."""
    failed: dict[str, str] = {}
    running: dict[Future[str], RunJob] = {}
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=ready)
    whole = True
    try:
        while running or (left and whole):
            while whole and left and len(running) < workers:
                running[pool.submit(carry_out, left[0])] = left[0]
                progression.start(left.popleft())
            for future in _wait(running, deadline_s):
                job = running.pop(future)
                whole = whole and not isinstance(future.exception(), BrokenExecutor)
                error = _outcome(future, job)
                progression.end(job, error)
                failed |= {job.name: error} if error else {}
    except BaseException:
        for child in set(multiprocessing.active_children()) - others:
            child.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return failed


def _wait(running: Collection[Future[str]], deadline_s: float | None) -> set[Future[str]]:
    """The runs that end next.

    Raises:
        TimeUpError: none did before the deadline.
    """
    patience_s = None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
    done = wait(running, timeout=patience_s, return_when=FIRST_COMPLETED).done
    if not done:
        raise TimeUpError
    return done


def _outcome(future: Future[str], job: RunJob) -> str:
    """What stopped a job, "" when nothing did; a process that died could not say so itself."""
    error = future.exception()
    if error is None:
        return future.result()
    what = DIED if isinstance(error, BrokenExecutor) else f"{type(error).__name__}: {error}"
    make_private_folder(job.out)
    (job.out / ERROR).write_text(f"{what}\n", encoding="utf-8")
    return what


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Give processes that start meanwhile this many threads each: the libraries read it when they are loaded."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(count)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
