"""A task that raises or kills its worker stops no other."""

import multiprocessing

from client.data.workers import Crew, WorkerDiedError
from tests.support.worker_tasks import double, prepare


def test_every_task_has_its_result_or_its_own_error() -> None:
    found = dict(Crew(double, prepare, 2, lambda: False).run([1, 13, 99, 2, 3]))
    assert {task: result for task, result in found.items() if isinstance(result, int)} == {1: 2, 2: 4, 3: 6}
    assert repr(found[13]) == "ValueError('13 is refused')"
    assert isinstance(found[99], WorkerDiedError)


def test_a_stop_begins_no_task_and_waits_for_those_under_way() -> None:
    seen: list[int] = []
    for task, _ in Crew(double, prepare, 2, lambda: bool(seen)).run([1, -5, 3]):
        seen.append(task)
    assert sorted(seen) == [-5, 1]


def test_a_caller_that_leaves_ends_the_processes() -> None:
    before = set(multiprocessing.active_children())
    results = Crew(double, prepare, 2, lambda: False).run([1, -300])
    assert next(results) == (1, 2)
    results.close()
    assert set(multiprocessing.active_children()) == before
