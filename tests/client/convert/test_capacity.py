"""As many cases at a time as cores and memory allow, and never none."""

from pathlib import Path

import pytest

from client.convert.capacity import fitting_jobs, jobs_for
from tests.support.found_cases import found_case, task_of

GIB, MIB = 1 << 30, 1 << 20


@pytest.mark.parametrize(
    ("largest", "cores", "free", "jobs"),
    [
        (100 * MIB, 64, 500 * MIB + 5 * 1500 * MIB, 5),
        (100 * MIB, 4, 64 * GIB, 4),
        (10 * GIB, 64, 1 * GIB, 1),
        (100 * MIB, 8, None, 8),
    ],
)
def test_jobs_fit_cores_and_memory(largest: int, cores: int, free: int | None, jobs: int) -> None:
    assert jobs_for(largest, cores=cores, free_bytes=free) == jobs


def test_this_machine_has_room_for_a_small_case(tmp_path: Path) -> None:
    assert fitting_jobs([task_of(found_case(tmp_path, "a"), tmp_path / "case")]) >= 1
