"""An answer that missed its deadline is heard once, apart, and never counts in a later round."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from flwr.app import Message
from flwr.proto.node_pb2 import NodeInfo

from client.app import build_client_app
from deploy.simulation.in_process import InProcessGrid
from protocol.messages.instruction import Instruction
from protocol.messages.payload import Payload
from protocol.messages.reply import Reply
from protocol.messages.settings import Model, StudySettings
from server.grid.center_grid import CenterGrid

SETTINGS = StudySettings(study="demo", seed=0, model=Model(name="none"))
REGISTER = Instruction(kind="register", settings=SETTINGS)
TRAIN = Instruction(kind="train", settings=SETTINGS, stage="adapt", server_round=1)


def _performs(center: str, instruction: Instruction) -> Reply:
    payload = Payload(center, "", "adapt", instruction.server_round, tensors={"w": np.ones(3, np.float32)})
    return Reply(center, instruction.kind, payload=payload if instruction.kind == "train" else None)


def _says(center: str) -> Any:
    return build_client_app(lambda instruction: _performs(center, instruction))


def _apps(*centers: str) -> Mapping[str, Any]:
    return {center: _says(center) for center in centers}


class SlowGrid(InProcessGrid):
    """Holds the replies of the nodes in `held` back; gives all others that are asked for, as often as they are."""

    def __init__(self, clients: Mapping[str, Any], *held: int) -> None:
        super().__init__(clients)
        self.held = set(held)
        self._answers: dict[str, Message] = {}

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        message_ids = []
        for message in messages:
            message_ids += super().push_messages([message])
            (reply,) = super().pull_messages(message_ids[-1:])
            self._answers[message_ids[-1]] = reply
        return message_ids

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        ready = [self._answers[key] for key in message_ids]
        return [reply for reply in ready if reply.metadata.src_node_id not in self.held]


class ListeningFleet(CenterGrid):
    """Keeps what it hears late."""

    def __init__(self, grid: InProcessGrid) -> None:
        super().__init__(grid, poll_s=0.01)
        self.late: list[tuple[str, Reply]] = []

    def ask(self, *arguments: Any, **options: Any) -> dict[str, Reply]:
        return super().ask(*arguments, **options, on_late=self._keep)

    def register(self, *arguments: Any, **options: Any) -> dict[str, Reply]:
        return super().register(*arguments, **options, on_late=self._keep)

    def _keep(self, center: str, reply: Reply) -> None:
        self.late.append((center, reply))


def test_late_reply_is_handed_on_once_and_apart(caplog: pytest.LogCaptureFixture) -> None:
    """Center a answers round 1 while round 2 waits; round 2 has its own answer of a."""
    grid = SlowGrid(_apps("a", "b"), 2)
    center_grid = ListeningFleet(grid)
    assert sorted(center_grid.ask({"a": TRAIN, "b": TRAIN}, deadline_s=0.05)) == ["b"]
    assert center_grid.late == []
    grid.held.clear()
    second = replace(TRAIN, server_round=2, kind="evaluate")
    assert center_grid.ask({"a": second, "b": second}, deadline_s=5) == {c: Reply(c, "evaluate") for c in ("a", "b")}
    assert [(center, reply.kind) for center, reply in center_grid.late] == [("a", "train")]
    assert center_grid.late[0][1].payload is not None
    assert "center 'a' answered 'train' (adapt/1) after the deadline" in caplog.text
    center_grid.ask({"b": second}, deadline_s=5)
    assert len(center_grid.late) == 1


def test_late_reply_is_heard_while_a_center_registers() -> None:
    grid = SlowGrid(_apps("a", "b"), 2)
    center_grid = ListeningFleet(grid)
    center_grid.ask({"a": TRAIN}, deadline_s=0.05)
    grid.held.clear()
    assert sorted(center_grid.register(REGISTER, deadline_s=5, expected=["b"])) == ["b"]
    assert [center for center, _ in center_grid.late] == ["a"]


def test_late_reply_that_comes_while_others_are_waited_for_is_heard() -> None:
    """Nodes 2 and 3 are silent; 2 answers at the third look of the second round."""
    grid = SlowGrid(_apps("a", "b"), 2, 3)
    center_grid = ListeningFleet(grid)
    center_grid.ask({"a": TRAIN}, deadline_s=0.05)
    looks = []

    class Waking(SlowGrid):
        def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
            looks.append(1)
            if len(looks) > 4:
                self.held.discard(2)
            return super().pull_messages(message_ids)

    grid.__class__ = Waking
    assert center_grid.ask({"b": TRAIN}, deadline_s=0.3) == {}
    assert [center for center, _ in center_grid.late] == ["a"]


def test_without_a_listener_late_replies_are_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    grid = SlowGrid(_apps("a"), 2)
    center_grid = CenterGrid(grid, poll_s=0.01)
    center_grid.ask({"a": TRAIN}, deadline_s=0.05)
    grid.held.clear()
    assert center_grid.ask({"a": TRAIN}, deadline_s=5)["a"].error == ""
    assert "center 'a' answered 'train'" in caplog.text


def test_late_introduction_names_a_nameless_node() -> None:
    class Nameless(SlowGrid):
        def get_nodes(self) -> list[NodeInfo]:
            return [NodeInfo(node_id=node_id) for node_id in self.get_node_ids()]

    grid = Nameless(_apps("a", "b"), 2)
    center_grid = ListeningFleet(grid)
    assert sorted(center_grid.register(REGISTER, deadline_s=0.05, expected=["a", "b"])) == ["b"]
    grid.held.clear()
    center_grid.ask({"b": TRAIN}, deadline_s=5)
    assert center_grid.connected() == ("a", "b")
    assert center_grid.late == [("a", Reply("a", "register"))]


def test_late_introduction_under_a_name_that_is_taken_names_nobody(caplog: pytest.LogCaptureFixture) -> None:
    class Nameless(SlowGrid):
        def get_nodes(self) -> list[NodeInfo]:
            return [NodeInfo(node_id=node_id) for node_id in self.get_node_ids()]

    grid = Nameless({"1": _says("b"), "2": _says("b")}, 2)
    center_grid = ListeningFleet(grid)
    center_grid.register(REGISTER, deadline_s=0.05, expected=["a", "b"])
    grid.held.clear()
    assert center_grid.ask({"b": TRAIN}, deadline_s=5)["b"].error == ""
    assert center_grid.centers() == {"b": 3}
    assert "node 2 is not taken for center 'b'" in caplog.text


def test_messages_that_expired_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that comes after the message's time to live, a tenth of a second, is not looked for any more."""
    monkeypatch.setattr("server.grid.center_grid.DEFAULT_TTL", 0.1)
    grid = SlowGrid(_apps("a", "b"), 2)
    center_grid = ListeningFleet(grid)
    center_grid.ask({"a": TRAIN}, deadline_s=0.02)
    time.sleep(0.1)
    center_grid.ask({"b": TRAIN}, deadline_s=5)
    grid.held.clear()
    center_grid.ask({"b": TRAIN}, deadline_s=5)
    assert center_grid.late == []
