"""Instructions reach centers by name; replies come back under the right name, or as a code."""

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Error, Message, RecordDict
from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode
from flwr.proto.node_pb2 import NodeInfo

from client.app import build_client_app
from deploy.simulation.in_process import InProcessGrid
from protocol.errors import StudyError
from protocol.messages.instruction import Instruction
from protocol.messages.payload import Payload
from protocol.messages.reply import Reply
from protocol.messages.settings import Model, StudySettings
from server.app import read_options
from server.grid.center_grid import CenterGrid, GridError

SETTINGS = StudySettings(study="demo", seed=0, model=Model(name="none"))
REGISTER = Instruction(kind="register", settings=SETTINGS)
TRAIN = Instruction(
    kind="train", settings=SETTINGS, stage="adapt", server_round=1, tensors={"w": np.array([1, 2], np.float32)}
)


def _trained(center: str) -> Reply:
    """Three float32 values: 12 bytes."""
    payload = Payload(center, "", "adapt", 1, tensors={"w": np.array([1, 2, 3], np.float32)})
    return Reply(center=center, kind="train", payload=payload)


def _says(center: str) -> Any:
    """A ClientApp that trains and registers under this name."""
    return build_client_app(
        lambda instruction: _trained(center) if instruction.kind == "train" else Reply(center, instruction.kind)
    )


class NamelessGrid(InProcessGrid):
    """Nodes without a name, as in Flower's simulation engine."""

    def get_nodes(self) -> list[NodeInfo]:
        return [NodeInfo(node_id=node_id) for node_id in self.get_node_ids()]


class VanishingGrid(InProcessGrid):
    """Node 2 is gone after the push: Flower answers for it, in the name of its own node 1."""

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        replies = super().pull_messages(message_ids)
        for reply in replies:
            if reply.metadata.src_node_id == 2:
                reply.__dict__["_content"] = None
                reply.__dict__["_error"] = Error(code=ErrorCode.NODE_UNAVAILABLE)
                reply.metadata.__dict__["_src_node_id"] = SUPERLINK_NODE_ID
        return replies


class SilentGrid(InProcessGrid):
    """Center 'a' (node 2) never answers; counts how often replies were looked for."""

    looks = 0

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        self.looks += 1
        silent = self._pending[2].metadata.message_id
        return super().pull_messages(set(message_ids) - {silent})


def _apps(*centers: str) -> Mapping[str, Any]:
    return {center: _says(center) for center in centers}


def test_centers_are_known_by_the_name_of_their_node() -> None:
    assert CenterGrid(InProcessGrid(_apps("b", "a"))).centers() == {"a": 2, "b": 3}


def test_nameless_nodes_are_no_centers_until_they_register() -> None:
    center_grid = CenterGrid(NamelessGrid(_apps("b", "a")))
    assert center_grid.centers() == {}
    assert sorted(center_grid.register(REGISTER, deadline_s=5, expected=["a", "b"])) == ["a", "b"]
    assert center_grid.centers() == {"a": 2, "b": 3}


def test_node_that_does_not_say_its_name_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    center_grid = CenterGrid(NamelessGrid({"a": _says("a"), "b": _says("")}), poll_s=0.01)
    assert sorted(center_grid.register(REGISTER, deadline_s=0.1, expected=["a", "b"])) == ["a"]
    assert "node 3 did not say whose it is" in caplog.text


def test_two_nodes_with_one_name_are_refused() -> None:
    with pytest.raises(GridError, match=r"\['a'\] are connected by more than one node"):
        CenterGrid(NamelessGrid({"1": _says("a"), "2": _says("a")})).register(
            REGISTER, deadline_s=5, expected=["a", "b"]
        )


def test_register_waits_for_expected_centers_no_longer_than_the_deadline() -> None:
    start = time.monotonic()
    center_grid = CenterGrid(InProcessGrid(_apps("a")), poll_s=0.01)
    assert sorted(center_grid.register(REGISTER, deadline_s=0.1, expected=["a", "z"])) == ["a"]
    assert 0.1 <= time.monotonic() - start < 2


def test_center_outside_the_study_is_left_alone() -> None:
    """Center '0' would be first to run."""
    asked: list[str] = []

    def perform(_: Instruction) -> Reply:
        asked.append("0")
        return Reply("0", "register")

    center_grid = CenterGrid(InProcessGrid({"a": _says("a"), "0": build_client_app(perform)}))
    assert sorted(center_grid.register(REGISTER, deadline_s=5, expected=["a"])) == ["a"]
    assert asked == []


def test_register_asks_a_node_that_connects_meanwhile() -> None:
    grid = InProcessGrid(_apps("a", "b"))
    late, grid._names = grid._names, {2: "a"}
    seen = []

    class Growing:
        """Passes everything on; the second node appears at the third look."""

        def __getattr__(self, name: str) -> Any:
            if name == "get_nodes":
                seen.append(1)
                grid._names = late if len(seen) > 2 else {2: "a"}
            return getattr(grid, name)

    center_grid = CenterGrid(Growing(), poll_s=0.01)  # type: ignore[arg-type]
    assert sorted(center_grid.register(REGISTER, deadline_s=5, expected=["a", "b"])) == ["a", "b"]


def test_connected_centers_are_named_in_order() -> None:
    grid = InProcessGrid(_apps("b", "a"))
    center_grid = CenterGrid(grid)
    assert center_grid.connected() == ("a", "b")
    grid._names = {3: "b"}
    assert center_grid.connected() == ("b",)


def test_bytes_down_count_reference_and_backbone() -> None:
    """2 + 3 + 4 float32 values: 36 bytes."""
    heard: list[int] = []
    asked = replace(TRAIN, backbone={"b": np.zeros(3, np.float32)}, reference={"w": np.zeros((2, 2), np.float32)})
    CenterGrid(InProcessGrid(_apps("a"))).ask(
        {"a": asked}, deadline_s=5, on_reply=lambda _center, _reply, down, _up: heard.append(down)
    )
    assert heard == [36]


def test_center_that_joins_within_a_round_is_not_asked_in_it() -> None:
    """It connects when the first reply is looked for; the next round asks it."""
    grid = InProcessGrid(_apps("a", "b"))
    both, grid._names = grid._names, {2: "a"}

    class Growing(InProcessGrid):
        def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
            self._names = both
            return super().pull_messages(message_ids)

    grid.__class__ = Growing
    center_grid = CenterGrid(grid)
    replies = center_grid.ask({"a": TRAIN, "b": TRAIN}, deadline_s=5)
    assert {center: reply.error for center, reply in replies.items()} == {"a": "", "b": "node-unavailable"}
    assert center_grid.ask({"b": TRAIN}, deadline_s=5)["b"].error == ""


def test_replies_come_one_by_one_with_bytes_of_their_tensors() -> None:
    """2 float32 values down are 8 bytes, 3 up are 12."""
    heard: list[tuple[str, int, int]] = []
    replies = CenterGrid(InProcessGrid(_apps("a", "b"))).ask(
        {"b": TRAIN, "a": TRAIN},
        deadline_s=5,
        on_reply=lambda center, _reply, down, up: heard.append((center, down, up)),
    )
    assert heard == [("b", 8, 12), ("a", 8, 12)]
    assert [replies[center].payload.center for center in ("a", "b")] == ["a", "b"]  # type: ignore[union-attr]


def test_grid_that_answers_at_once_is_never_waited_for() -> None:
    """Twenty centers with a poll interval of a minute: done in no time."""
    apps = _apps(*(f"c{number:02d}" for number in range(20)))
    start = time.monotonic()
    replies = CenterGrid(InProcessGrid(apps), poll_s=60).ask(dict.fromkeys(apps, TRAIN), deadline_s=600)
    assert len(replies) == 20
    assert time.monotonic() - start < 5


def test_vanished_node_is_attributed_to_its_center() -> None:
    """Flower answers as node 1; the message it replies to tells that it was center 'a'."""
    replies = CenterGrid(VanishingGrid(_apps("a", "b"))).ask({"a": TRAIN, "b": TRAIN}, deadline_s=5)
    assert replies["a"] == Reply(center="a", kind="train", error="node-unavailable")
    assert replies["b"].error == ""


def test_center_that_is_not_connected_is_unavailable() -> None:
    heard: list[str] = []
    replies = CenterGrid(InProcessGrid(_apps("a"))).ask(
        {"z": TRAIN}, deadline_s=5, on_reply=lambda center, reply, _down, _up: heard.append(center + reply.error)
    )
    assert replies == {"z": Reply(center="z", kind="train", error="node-unavailable")}
    assert heard == ["znode-unavailable"]


def test_deadline_returns_what_arrived_and_names_who_is_late(caplog: pytest.LogCaptureFixture) -> None:
    grid = SilentGrid(_apps("a", "b"))
    with caplog.at_level(logging.WARNING):
        replies = CenterGrid(grid, poll_s=0.02).ask({"a": TRAIN, "b": TRAIN}, deadline_s=0.2)
    assert sorted(replies) == ["b"]
    assert "center 'a' did not answer 'train' (adapt/1) within 0.2 s" in caplog.text
    assert 2 <= grid.looks <= 12


def test_late_reply_does_not_answer_the_next_question() -> None:
    grid = SilentGrid(_apps("a"))
    center_grid = CenterGrid(grid, poll_s=0.01)
    assert center_grid.ask({"a": TRAIN}, deadline_s=0.05) == {}
    grid.__class__ = InProcessGrid  # type: ignore[assignment]
    evaluate = Instruction(kind="evaluate", settings=SETTINGS)
    assert center_grid.ask({"a": evaluate}, deadline_s=5) == {"a": Reply("a", "evaluate")}


def test_center_cannot_answer_for_another() -> None:
    replies = CenterGrid(InProcessGrid({"a": _says("b"), "b": _says("b")})).ask({"a": TRAIN, "b": TRAIN}, deadline_s=5)
    assert (replies["a"], replies["b"].error) == (Reply("a", "train", error="other-center"), "")


def test_center_cannot_send_a_payload_of_another() -> None:
    app = build_client_app(lambda _: Reply("a", "train", payload=_trained("b").payload))
    replies = CenterGrid(InProcessGrid({"a": app})).ask({"a": TRAIN}, deadline_s=5)
    assert replies == {"a": Reply("a", "train", error="other-center")}


def test_payload_without_a_name_gets_the_name_of_the_center_asked() -> None:
    app = build_client_app(lambda _: Reply("", "train", payload=_trained("").payload))
    reply = CenterGrid(InProcessGrid({"a": app})).ask({"a": TRAIN}, deadline_s=5)["a"]
    assert reply.payload is not None
    assert (reply.center, reply.payload.center) == ("a", "a")


def test_answer_to_another_kind_of_question_is_unreadable() -> None:
    app = build_client_app(lambda _: Reply("a", "evaluate"))
    assert CenterGrid(InProcessGrid({"a": app})).ask({"a": TRAIN}, deadline_s=5)["a"].error == "unreadable"


def test_reply_that_is_no_reply_is_unreadable() -> None:
    class Garbling(InProcessGrid):
        def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
            replies = super().pull_messages(message_ids)
            for reply in replies:
                reply.content = RecordDict({"header": ConfigRecord({"json": "{}"})})
            return replies

    assert CenterGrid(Garbling(_apps("a"))).ask({"a": TRAIN}, deadline_s=5)["a"].error == "unreadable"


def test_reply_without_a_name_gets_the_name_of_the_center_asked() -> None:
    def perform(_: Instruction) -> Reply:
        raise ValueError

    replies = CenterGrid(InProcessGrid({"a": build_client_app(perform)})).ask({"a": TRAIN}, deadline_s=5)
    assert replies == {"a": Reply(center="a", kind="train", error="internal")}


def test_run_options_name_the_study_directory(tmp_path: Any) -> None:
    (tmp_path / "study.toml").touch()
    assert read_options({"study-directory": str(tmp_path)}).study_directory == tmp_path


@pytest.mark.parametrize(
    ("run_config", "finding"),
    [
        ({}, "study-directory: Field required"),
        ({"study-directory": "/nowhere", "rounds": 3}, "rounds: Extra inputs"),
        ({"study-directory": "/nowhere"}, "'/nowhere' holds no study.toml"),
    ],
)
def test_wrong_run_options_are_named(run_config: dict[str, Any], finding: str) -> None:
    with pytest.raises(StudyError, match=finding):
        read_options(run_config)
