"""Runs in worker processes: in order, the others going on when one fails or takes its process along."""

import io
import multiprocessing
import os
import re
import time
from pathlib import Path

import pytest
from rich.console import Console

from deploy.comparison import runner
from deploy.comparison.runner import DIED, Progression, TimeUpError, Workforce, run_all
from deploy.comparison.worker import ERROR, RunJob
from tests.support.worker_jobs import pretend


def job(folder: Path, name: str) -> RunJob:
    return RunJob(name, folder / "study.toml", folder, folder / name, "cpu", folder / "cache", threads=3)


def run(folder: Path, *names: str) -> tuple[dict[str, str], str]:
    """What failed, and what the screen showed."""
    screen = io.StringIO()
    console = Console(file=screen, width=200)
    with Progression(console, title="small", total=len(names), completed=0) as progression:
        failed = run_all([job(folder, name) for name in names], workers=1, threads=3, progression=progression)
    return dict(failed), screen.getvalue()


@pytest.fixture(autouse=True)
def _pretend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "carry_out", pretend)


def test_what_fails_is_named_with_its_reason_and_the_others_go_on(tmp_path: Path) -> None:
    failed, screen = run(tmp_path, "first", "stops", "raises", "last")
    assert failed == {"stops": "stopped by itself", "raises": "ValueError: no such arm"}
    assert re.search(r"complete first \(3 left, about \d+ min, until \d\d:\d\d\)", " ".join(screen.split()))
    assert "complete last" in screen
    assert f"stopped by itself (see {tmp_path / 'stops' / ERROR})" in " ".join(screen.split())
    assert (tmp_path / "raises" / ERROR).read_text() == "ValueError: no such arm\n"


def test_a_process_that_dies_takes_its_own_run_along_and_no_other(tmp_path: Path) -> None:
    failed, _ = run(tmp_path, "dies", "after")
    assert failed == {"dies": DIED}
    assert (tmp_path / "dies" / ERROR).read_text() == f"{DIED}\n"
    assert (tmp_path / "after" / "threads").exists()


def test_processes_get_their_threads_and_this_one_keeps_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    run(tmp_path, "one")
    assert (tmp_path / "one" / "threads").read_text() == "3"
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "OPENBLAS_NUM_THREADS" not in os.environ


def test_nothing_to_run_fails_nothing(tmp_path: Path) -> None:
    assert run(tmp_path) == ({}, run(tmp_path)[1])


def test_a_deadline_ends_the_runs_under_way(tmp_path: Path) -> None:
    progression = Progression(Console(file=io.StringIO()), title="small", total=1, completed=0)
    jobs = [job(tmp_path, "first")]
    with progression, pytest.raises(TimeUpError):
        run_all(jobs, workers=1, threads=1, progression=progression, deadline_s=time.monotonic())
    assert multiprocessing.active_children() == []


def test_a_workforce_gives_each_job_what_all_share(tmp_path: Path) -> None:
    workforce = Workforce(tmp_path, tmp_path / "cache", "cpu", 2, None, Console())
    asked = workforce.job("first", tmp_path / "study.toml", tmp_path / "first", threads=3)
    assert asked == job(tmp_path, "first")
