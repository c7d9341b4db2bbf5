"""The checks on this machine: versions, data, GPU, disk, socket; each fault is named with its remedy."""

import socket
from pathlib import Path
from typing import Any

import pytest

from client.home.center_home import CenterHome, membership_of
from client.join import site_checks
from client.join.findings import ok
from client.join.situation import Situation
from tests.support.coordinator_stand_in import kit
from tests.support.join_checks import check, situation


@pytest.mark.parametrize(
    ("change", "remedy"),
    [({"flower": "1.99"}, "flwr==1.99.*"), ({"concilium": "99.0.0"}, "install concilium 99.0.0")],
)
def test_other_versions_are_named_with_what_to_install(tmp_path: Path, change: dict[str, Any], remedy: str) -> None:
    of = kit("nowhere.invalid:443", **change)
    versions = check(situation(tmp_path, of, b""), "versions")["versions"]
    assert (versions.finding.status, remedy in versions.finding.remedy) == ("failed", True)


def test_a_disk_that_is_too_small_is_named(tmp_path: Path) -> None:
    disk = check(situation(tmp_path, kit("nowhere.invalid:443", disk_bytes=1 << 60), b""), "disk")["disk"]
    assert (disk.finding.status, "larger disk" in disk.finding.remedy) == ("failed", True)


def test_a_study_made_for_a_gpu_warns_who_chose_the_cpu(tmp_path: Path) -> None:
    of = situation(tmp_path, kit("nowhere.invalid:443", gpu_memory_bytes=8 << 30), b"")
    assert check(of, "gpu")["gpu"].finding.status == "warning"


def test_a_gpu_that_is_too_small_or_not_there_is_named(tmp_path: Path) -> None:
    """A petabyte is more than any GPU has; where there is none, that is said instead."""
    of = kit("nowhere.invalid:443", gpu_memory_bytes=1 << 50)
    automatic = Situation(CenterHome(tmp_path), ok("kit"), membership_of(of), device="auto")
    gpu = check(automatic, "gpu")["gpu"]
    assert (gpu.finding.status, "--device cpu" in gpu.finding.remedy) == ("failed", True)


def test_a_local_port_in_use_is_named(tmp_path: Path) -> None:
    of = situation(tmp_path, kit("nowhere.invalid:443"), b"")
    assert of.settings is not None
    with socket.create_server(("127.0.0.1", of.settings.port + 1)):
        result = check(of, "socket")["socket"]
    assert (result.finding.status, str(of.settings.port + 1) in result.finding.text) == ("failed", True)


def test_without_settings_the_port_is_the_usual_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_checks, "is_free", lambda _port: True)
    result = check(Situation(CenterHome(tmp_path), ok("kit")), "socket")["socket"]
    assert "port 9095 on 127.0.0.1" in result.finding.text


def test_little_main_memory_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_checks, "_available_memory", lambda: 3 << 30)
    result = check(situation(tmp_path, kit("nowhere.invalid:443"), b""), "gpu")["gpu"]
    assert (result.finding.status, "3 GiB of main memory free; 4 are" in result.finding.text) == ("warning", True)


def test_fewer_cases_than_may_stand_behind_what_leaves_are_a_warning(tmp_path: Path, cohort: Path) -> None:
    data = check(situation(tmp_path, kit("nowhere.invalid:443"), b"", cohort / "center-a"), "data")["data"]
    assert data.finding.status == "warning"
    assert "nothing leaves that stands on fewer than 5 (--minimum-cases)" in data.finding.text


def test_a_home_with_too_long_a_path_is_named(tmp_path: Path) -> None:
    result = check(situation(tmp_path / ("x" * 100), kit("nowhere.invalid:443"), b""), "socket")["socket"]
    assert (result.finding.status, "shorter" in result.finding.remedy) == ("failed", True)
