"""How many threads torch computes with, and that a folder of results keeps the number that it began with."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from client.service import thread_count
from client.service.thread_count import THREADS, allowed_cores, keep_thread_count

Machine = Callable[..., list[int]]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    """A machine on which torch finds so many cores; gives the list of the numbers that torch is told."""

    def pretend(cores: int, *, by_user: str = "", quota: str = "max 100000") -> list[int]:
        told: list[int] = []
        monkeypatch.setenv("OMP_NUM_THREADS", by_user)
        monkeypatch.setattr(torch, "get_num_threads", lambda: int(by_user or cores))
        monkeypatch.setattr(torch, "set_num_threads", told.append)
        monkeypatch.setattr(thread_count, "QUOTA", tmp_path / "cpu.max")
        (tmp_path / "cpu.max").write_text(quota)
        return told

    return pretend


def test_all_cores_compute_and_the_number_is_kept(machine: Machine, tmp_path: Path) -> None:
    told = machine(6)
    assert (keep_thread_count(tmp_path / "home"), told) == (6, [6])
    assert (tmp_path / "home" / THREADS).stat().st_mode & 0o777 == 0o600


def test_a_folder_goes_on_with_the_number_that_it_began_with(machine: Machine, tmp_path: Path) -> None:
    machine(6)
    keep_thread_count(tmp_path)
    told = machine(2)
    assert (keep_thread_count(tmp_path), told) == (6, [6])


def test_what_the_user_sets_goes_before_and_is_told_and_kept(
    machine: Machine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    machine(6)
    keep_thread_count(tmp_path)
    machine(6, by_user="3")
    with caplog.at_level(logging.WARNING):
        assert keep_thread_count(tmp_path) == 3
    assert caplog.messages == [f"OMP_NUM_THREADS=3, but {tmp_path} began with 6: last bits of results may differ"]
    machine(6)
    assert keep_thread_count(tmp_path) == 3


@pytest.mark.parametrize(("quota", "cores"), [("200000 100000", 2), ("150000 100000", 1), ("50000 100000", 1)])
def test_a_container_uses_the_cores_that_its_quota_pays_for(
    quota: str, cores: int, machine: Machine, tmp_path: Path
) -> None:
    machine(64, quota=quota)
    assert (allowed_cores(), keep_thread_count(tmp_path / "home")) == (cores, cores)


@pytest.mark.parametrize("quota", ["max 100000", "", "1 0"])
def test_where_there_is_no_quota_all_cores_compute(quota: str, machine: Machine, tmp_path: Path) -> None:
    machine(64, quota=quota)
    assert keep_thread_count(tmp_path / "home") == 64


@pytest.mark.parametrize("content", [b"{", b'{"threads": 3}', b""])
def test_a_damaged_file_is_told_and_written_anew(
    content: bytes, machine: Machine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    machine(2)
    (tmp_path / THREADS).write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert keep_thread_count(tmp_path) == 2
    assert "is damaged" in caplog.text
    assert keep_thread_count(tmp_path) == 2
