"""The center's SuperExec: it asks at the node's socket and starts the guarded ClientApp alone."""

from pathlib import Path

import pytest

from client.app import NODE_HOME_VARIABLE
from client.node import superexec


def test_it_asks_at_the_homes_socket_and_starts_one_kind_of_task(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[object] = []
    monkeypatch.setenv(NODE_HOME_VARIABLE, "/center/node")
    monkeypatch.setattr(superexec, "call_through", done.append)
    monkeypatch.setattr(superexec, "start_tasks_with", done.append)
    monkeypatch.setattr("protocol.flower_internals.flower_superexec", lambda: done.append("runs"), raising=False)
    superexec.main()
    assert done == [Path("/center/node/runtime.sock"), {"flwr-clientapp": ("flwr-clientapp",)}, "runs"]


def test_without_a_home_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NODE_HOME_VARIABLE, raising=False)
    with pytest.raises(SystemExit) as ended:
        superexec.main()
    assert ended.value.code == 1
