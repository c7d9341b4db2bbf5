"""Nothing calls home: the variables are set before the libraries that read them are imported."""

import os
import subprocess
import sys

import pytest

from deploy.supervision.telemetry import SWITCHED_OFF, switch_off_telemetry

READERS = ("flwr", "mlflow", "ray")


def test_what_is_set_already_keeps_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SWITCHED_OFF:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    switch_off_telemetry()
    assert {name: os.environ[name] for name in SWITCHED_OFF} == {**SWITCHED_OFF, "RAY_USAGE_STATS_ENABLED": "1"}


@pytest.mark.parametrize("program", ["deploy.center.cli", "deploy.coordinator.cli"])
def test_a_command_imports_no_library_that_reads_them_before_it_has_set_them(program: str) -> None:
    code = f"import sys, {program}; sys.exit(', '.join(set({READERS}) & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
