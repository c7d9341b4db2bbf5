"""Which home a program of the network side belongs to."""

from pathlib import Path

import pytest

from client.app import NODE_HOME_VARIABLE
from client.home.center_home import HomeError
from client.node.node_home import home_of_node


def test_the_home_is_the_folder_above_the_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NODE_HOME_VARIABLE, "/center/node")
    assert home_of_node().root == Path("/center")
    assert home_of_node().api == Path("/center/node/runtime.sock")


def test_a_process_that_was_not_told_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NODE_HOME_VARIABLE, raising=False)
    with pytest.raises(HomeError, match="is not set; this process is started by `concilium-center node`"):
        home_of_node()
