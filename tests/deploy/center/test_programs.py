"""How a center's three programs are started, and what they are told."""

from pathlib import Path

import pytest

from client.home.center_home import CenterHome, read_membership
from deploy.center.programs import node_programs, trainer_program
from tests.support.joined_home import joined_home


@pytest.fixture
def home(tmp_path: Path) -> CenterHome:
    return joined_home(tmp_path / "home")


def test_no_program_of_the_network_side_is_told_where_data_lie(home: CenterHome) -> None:
    for program in node_programs(home, read_membership(home), 9094):
        assert str(home.trainer) not in " ".join([*program.command, *program.environment.values()])


def test_every_program_is_kept_from_calling_home(home: CenterHome) -> None:
    programs = (trainer_program(home, ()), *node_programs(home, read_membership(home), 9094))
    assert {program.environment["FLWR_TELEMETRY_ENABLED"] for program in programs} == {"0"}
    assert {program.environment["FLWR_DISABLE_UPDATE_CHECK"] for program in programs} == {"1"}


def test_calls_on_this_machine_go_through_no_proxy(home: CenterHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "intranet.example.org")
    program = node_programs(home, read_membership(home), 9094)[0]
    assert program.environment["NO_PROXY"] == "intranet.example.org,127.0.0.1,localhost"
