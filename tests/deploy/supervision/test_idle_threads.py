"""Threads that wait sleep: what the OpenMP runtime reads is set before any command loads torch."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from deploy.supervision.idle_threads import CHOSEN_BY_USERS, let_idle_threads_sleep

WATCHED = """
import importlib.abc, os, sys

class Watch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print("loads torch with", os.environ.get("OMP_WAIT_POLICY"), flush=True)
            os._exit(0)

sys.meta_path.insert(0, Watch())
program, sys.argv[1:] = sys.argv[1], sys.argv[2:]
getattr(__import__(program, fromlist=["main"]), "main")()
"""
CENTER, COORDINATOR = "deploy.center.cli", "deploy.coordinator.cli"
COMMANDS = [
    (COORDINATOR, ["simulate", "--study", "s.toml", "--out", "out", "--data", "."]),
    (CENTER, ["trainer", "--home", "home", "--center", "a", "--data", ".", "--socket", "s"]),
]


def without_choice() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in CHOSEN_BY_USERS}


@pytest.mark.parametrize(("program", "words"), COMMANDS, ids=[words[0] for _, words in COMMANDS])
def test_a_command_sets_it_before_it_loads_torch(program: str, words: Sequence[str], tmp_path: Path) -> None:
    command = [sys.executable, "-c", WATCHED, program, *words]
    done = subprocess.run(
        command, cwd=tmp_path, env=without_choice(), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout == "loads torch with passive\n", done.stderr


@pytest.fixture
def _nobody_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is set, and what a test sets is taken back."""
    for name in CHOSEN_BY_USERS:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("_nobody_chose")
def test_what_a_command_starts_inherits_it() -> None:
    let_idle_threads_sleep()
    assert os.environ["OMP_WAIT_POLICY"] == "passive"
    assert "GOMP_SPINCOUNT" not in os.environ


@pytest.mark.usefixtures("_nobody_chose")
@pytest.mark.parametrize(("name", "value"), [("OMP_WAIT_POLICY", "active"), ("GOMP_SPINCOUNT", "1000")])
def test_who_set_one_of_them_keeps_it(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    before = dict(os.environ)
    let_idle_threads_sleep()
    assert dict(os.environ) == before
