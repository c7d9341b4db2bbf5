"""`concilium env`: what a machine brings, with whatever is missing or broken on it."""

import json
import sys
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from click.testing import Result
from typer.testing import CliRunner

from deploy.simulation.environment import environment, scan_on, threads_each, usable_cores
from server.cli.app import app

SCAN = "fusion_models.ssm.selective_scan"


def run(*arguments: str) -> Result:
    import_module("deploy.coordinator.cli")  # adds its commands to the coordinator's
    return CliRunner().invoke(app, ["env", *arguments])


def scanning(monkeypatch: pytest.MonkeyPatch, scan_path: Any) -> None:
    """Put `scan_path` in place of the module that chooses the scan."""
    module = ModuleType(SCAN)
    module.scan_path = scan_path  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, SCAN, module)


def broken(_device: str) -> str:
    raise RuntimeError("undefined symbol: _ZN3c10\nin selective_scan_cuda.so")


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    cards = [SimpleNamespace(name="Card A", total_memory=80_000_000_000), SimpleNamespace(name="B", total_memory=16)]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: cards[index])


def test_a_machine_without_a_gpu_has_one_device_with_a_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (cpu,) = environment().devices
    assert cpu.device == "cpu"
    assert cpu.memory_bytes is None or cpu.memory_bytes > 1e8
    assert cpu.scan
    assert not cpu.scan.startswith("unknown")


def test_every_gpu_has_its_name_its_memory_and_its_scan(two_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    scanning(monkeypatch, lambda device: f"scan of {device}")
    found = [(row.device, row.name, row.memory_bytes, row.scan) for row in environment().devices[1:]]
    assert found == [
        ("cuda:0", "Card A", 80_000_000_000, "scan of cuda:0"),
        ("cuda:1", "B", 16, "scan of cuda:1"),
    ]
    assert "80.0 GB" in run().stdout


def test_threads_and_cores_are_those_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {3, 5, 7}, raising=False)
    found = environment()
    assert (found.cores, found.threads) == (3, torch.get_num_threads())
    monkeypatch.delattr("os.sched_getaffinity")
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    assert usable_cores() == 6


def test_processes_share_the_cores_unless_the_user_says_how_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(6)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert [threads_each(workers) for workers in (1, 2, 4, 9)] == [6, 3, 1, 1]
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert [threads_each(workers) for workers in (1, 9)] == [2, 2]
    for unusable in ("0", "4,2", "many"):
        monkeypatch.setenv("OMP_NUM_THREADS", unusable)
        assert threads_each(2) == 3


def test_a_broken_extension_is_said_and_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    scanning(monkeypatch, broken)
    assert scan_on("cuda") == "unknown: RuntimeError: undefined symbol: _ZN3c10"
    found = run()
    assert found.exit_code == 0
    assert "undefined symbol" in found.stdout


def test_without_torch_versions_and_cores_are_still_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    found = environment()
    assert (found.threads, found.devices) == (None, ())
    assert found.trouble.startswith("torch cannot be imported: ModuleNotFoundError")
    assert "torch cannot be imported" in run().stdout


def test_what_is_not_installed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.simulation.environment.PACKAGES", ("numpy", "no-such-package"))
    versions = environment().versions
    assert versions["no-such-package"] == "not installed"
    assert versions["numpy"][0].isdigit()
    assert versions["python"].startswith("3.")


def test_the_command_lists_the_packages_that_bear_on_a_result() -> None:
    text = run().stdout
    named = ("concilium", "python", "torch", "monai", "peft", "flwr", "mlflow", "mamba-ssm")
    assert [name for name in named if name not in text] == []
    assert "selective scan" in text


def test_json_is_the_same_for_machines() -> None:
    found = json.loads(run("--json").stdout)
    assert set(found) == {"versions", "cores", "threads", "devices", "trouble"}
    assert set(found["devices"][0]) == {"device", "name", "memory_bytes", "scan"}
    assert found["trouble"] == ""
