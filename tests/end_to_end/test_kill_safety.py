"""A coordinator that is killed at any point goes on, once started again, as if nothing had happened."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from server.audit.verification import verify
from tests.support.killed_study import POINTS, TWO_STAGES
from tests.support.light_study import Light, light


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Light:
    """The run that nobody disturbs."""
    found = light(tmp_path_factory.mktemp("quiet"), TWO_STAGES)
    found.run()
    return found


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """A folder with a killed study for each point."""
    folder = tmp_path_factory.mktemp("killed")
    command = [sys.executable, "-m", "tests.support.killed_study", str(folder)]
    result = subprocess.run(command, cwd=repository, check=True, capture_output=True, text=True, timeout=300)
    assert json.loads(result.stdout.splitlines()[-1]) == dict.fromkeys(POINTS, -9)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_a_killed_coordinator_ends_like_a_quiet_one(point: str, killed: Path, quiet: Light) -> None:
    """The same bank, hash by hash, and every round once; what a center had finished it does not train again.

    The audit log explains what the kill left, and agrees with all files in the end.
    """
    found = light(killed / point, TWO_STAGES)
    before = found.state.server_round
    assert {finding.weight for finding in verify(found.directory).findings} <= {"unfinished"}
    waiting = {name: center.outbox_rounds() - set(range(before + 1)) for name, center in found.centers.items()}
    found.run()
    assert found.hashes == quiet.hashes
    assert found.errors == quiet.errors
    assert verify(found.directory).findings == ()
    assert found.state.history.late == ()
    assert json.loads(found.directory.result.read_text())["status"] == "complete"
    for name, center in found.centers.items():
        trained = {instruction.server_round for instruction in center.performed if instruction.kind == "train"}
        assert trained == set(range(before + 1, 5)) - waiting[name]
