"""A pool of processes that survives its workers: each holds one task at a time, and a task that kills one is named.

When a worker dies, the pool cannot say of which task; all that were under way are done again, each in a process of its
own, and the one that dies there too is given up.

Workers are forked from a server process that has loaded what they need and does nothing else: what takes one and a half
seconds of a processor in each process that starts afresh is done once. Nothing is forked from a process with threads.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

LOOK_AGAIN_S = 0.2


class WorkerDiedError(Exception):
    """The process that worked on a task was killed, as by the system when memory is full."""


@dataclass(frozen=True)
class Crew(Generic[Task, Result]):
    """What workers do: `prepare` once in each process, `work` for each task; all of it is pickled, results too.

    jobs: processes at most. stopped: asked between tasks; once it says so, none is begun. modules: what the server
    loads before it forks, beside the module of `work`; the first crew of a program decides.
    """

    work: Callable[[Task], Result]
    prepare: Callable[[], None]
    jobs: int
    stopped: Callable[[], bool]
    modules: Collection[str] = ()

    def run(self, tasks: Sequence[Task]) -> Generator[tuple[Task, Result | Exception], None, None]:
        """Each task with its result or the error it raised, in the order in which they end.

        After a stop, those under way are waited for. A caller that leaves early, or an interrupt, ends the processes
        at once.
        """
        waiting = deque(tasks)
        while waiting and not self.stopped():
            suspects = yield from self._run_pool(waiting)
            for task in suspects:
                if self.stopped():
                    return
                yield task, self._run_alone(task)

    def _run_pool(self, waiting: deque[Task]) -> Generator[tuple[Task, Result | Exception], None, list[Task]]:
        """Run what is waiting until all is done or a worker dies; returns what was under way then."""
        under_way: dict[Future[Result], Task] = {}
        with self._open_pool(min(self.jobs, len(waiting))) as pool:
            try:
                while waiting or under_way:
                    while waiting and len(under_way) < self.jobs and not self.stopped():
                        future = pool.submit(self.work, waiting[0])
                        under_way[future] = waiting.popleft()
                    if not under_way:
                        break
                    for future in wait(under_way, LOOK_AGAIN_S, FIRST_COMPLETED).done:
                        result = _result(future)
                        yield under_way.pop(future), result
            except BrokenProcessPool:
                return list(under_way.values())
        return []

    def _run_alone(self, task: Task) -> Result | Exception:
        with self._open_pool(1) as pool:
            try:
                return _result(pool.submit(self.work, task))
            except BrokenProcessPool:
                return WorkerDiedError("the process that worked on it was killed")

    @contextmanager
    def _open_pool(self, jobs: int) -> Iterator[ProcessPoolExecutor]:
        """A pool of fresh processes; when it is left by an error or an interrupt, they are ended at once."""
        others = set(multiprocessing.active_children())
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(sorted({"__main__", self.work.__module__, *self.modules}))
        pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin_worker, initargs=(self.prepare,))
        try:
            yield pool
        except BaseException:
            for process in set(multiprocessing.active_children()) - others:
                process.kill()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def _begin_worker(prepare: Callable[[], None]) -> None:
    """Ctrl-C is for the parent to act on; a worker whose parent is gone ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    prepare()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _result(future: Future[Result]) -> Result | Exception:
    """The result, or what the task raised.

    Raises:
        BrokenProcessPool: its worker died, or another one of the pool.
    """
    error = future.exception()
    if isinstance(error, BrokenProcessPool):
        raise error
    if isinstance(error, Exception):
        return error
    return future.result()
