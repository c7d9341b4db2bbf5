"""Whose seconds and memory are whose where many real SuperNodes run."""

from pathlib import Path

from client.home.center_home import read_membership
from deploy.center.programs import node_programs
from server.runs.flower_programs import PROGRAMS, superlink_command
from tests.support.benchmark_scripts import load_script
from tests.support.joined_home import joined_home

ROLES = load_script("speed/deployed_centers.py").ROLES


def test_each_role_is_known_by_words_that_its_program_is_started_with(tmp_path: Path) -> None:
    home = joined_home(tmp_path / "home")
    node = node_programs(home, read_membership(home), 9094)[0]
    assert ROLES["node"] in " ".join(node.command)
    assert ROLES["superlink"] in " ".join(superlink_command(tmp_path))
    module, program = ROLES["serverapp"].split()
    assert f"{module} superlink" == ROLES["superlink"]
    assert program in PROGRAMS
