"""Many cases prepared at once are those that one process prepares."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load_file

from client.data.image_cases import scan_images
from client.data.preprocessing import cache_entry, prepare_case
from client.learning.cancellation import never_cancelled
from client.service import preparation
from client.service.preparation import Job, count_workers, prepare_missing
from protocol.messages.settings import Preprocessing
from tests.support.nifti_files import write_ct, write_labels, write_pet

SETTINGS = Preprocessing(spacing_zyx_mm=(4.0, 2.0, 2.0))


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    for number in range(3):
        folder = tmp_path / "data" / f"case-{number}"
        write_ct(folder / "ct.nii.gz", 50 + number)
        write_pet(folder / "pet.nii.gz")
        write_labels(folder / "gtv.nii.gz", {1: (slice(1, 4), slice(3, 9), slice(3, 9))})
    cases = scan_images("c", tmp_path / "data", ("ct", "pet"), lambda: None)
    return [Job(case, SETTINGS, tmp_path / "cache") for case in cases]


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "FEWEST_VOXELS", 1)
    monkeypatch.setattr(preparation, "_cores", lambda: 2)


@pytest.mark.usefixtures("two_cores")
def test_two_processes_leave_in_the_cache_what_one_makes_bit_for_bit(jobs: list[Job]):
    calls: list[int] = []
    prepare_missing(jobs, lambda: calls.append(1))
    for job in jobs:
        kept = load_file(cache_entry(job.case.checksums, SETTINGS, job.cache))
        alone = prepare_case(job.case.name, job.case.paths, SETTINGS)
        np.testing.assert_array_equal(kept["ct"], alone.ct)
        np.testing.assert_array_equal(kept["pet"], alone.pet)
        np.testing.assert_array_equal(kept["gtv"], alone.targets["segmentation"])
    assert len(calls) == 3
    prepare_missing(jobs, lambda: pytest.fail("nothing was missing"))


def _no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "Crew", lambda *_: pytest.fail("a process was started"))


def test_small_cases_start_no_process(jobs: list[Job], monkeypatch: pytest.MonkeyPatch):
    _no_process(monkeypatch)
    prepare_missing(jobs, never_cancelled)


@pytest.mark.usefixtures("two_cores")
@pytest.mark.parametrize("limit", ["memory", "daemon", "cases"])
def test_one_worker_is_none(jobs: list[Job], monkeypatch: pytest.MonkeyPatch, limit: str, tmp_path: Path):
    """The CT has 6 x 16 x 16 voxels of 16 bytes: 24 KiB a worker."""
    _no_process(monkeypatch)
    assert count_workers(jobs) == 2
    limits: dict[str, Callable[[], None]] = {
        "memory": lambda: _memory(tmp_path, monkeypatch, kib=47),
        "daemon": lambda: monkeypatch.setattr(multiprocessing, "current_process", lambda: SimpleNamespace(daemon=True)),
        "cases": lambda: jobs.__delitem__(slice(1, None)),
    }
    limits[limit]()
    assert count_workers(jobs) == 1
    prepare_missing(jobs, never_cancelled)


def _memory(folder: Path, monkeypatch: pytest.MonkeyPatch, kib: int) -> None:
    (folder / "meminfo").write_text(f"MemFree: 1 kB\nMemAvailable: {kib} kB\n")
    monkeypatch.setattr(preparation, "MEMORY", folder / "meminfo")
