"""What lies ready for the network side: a secret, and the commands that SuperExec may start."""

from pathlib import Path

import pytest
from flwr.supercore.constant import TASK_TYPE_TO_COMMAND

from client.home.center_home import CenterHome, read_membership
from deploy.center.programs import node_programs
from tests.support.joined_home import joined_home


@pytest.fixture
def home(tmp_path: Path) -> CenterHome:
    return joined_home(tmp_path / "home")


def test_superexec_can_start_nothing_but_the_guarded_app(home: CenterHome) -> None:
    executor = node_programs(home, read_membership(home), 9094)[1]
    commands = {path.name: path.read_text() for path in Path(executor.environment["PATH"]).iterdir()}
    assert set(commands) == set(TASK_TYPE_TO_COMMAND.values())
    assert [name for name, text in commands.items() if "client.node.clientapp" in text] == ["flwr-clientapp"]
