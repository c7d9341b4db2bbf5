"""All centers in one process: same records as over a network, one center at a time, nothing shared."""

from dataclasses import replace
from importlib.metadata import version

import numpy as np
import pytest
from flwr.app import Message, MessageType, RecordDict
from flwr.clientapp import ClientApp
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from client.app import build_client_app
from deploy.simulation.in_process import InProcessGrid, assume_task_identity
from protocol.flower_codec import message_type, read_reply, to_message_content
from protocol.messages.instruction import Instruction, Kind
from protocol.messages.payload import Payload
from protocol.messages.reply import Reply
from protocol.messages.settings import Model, StudySettings

SETTINGS = StudySettings(study="demo", seed=0, model=Model(name="none"))
TRAIN = Instruction(kind="train", settings=SETTINGS, tensors={"w": np.array([1, 2], np.float32)})


class Recorder:
    """Performs for one center, and writes down that it did."""

    def __init__(self, center: str, calls: list[str]) -> None:
        self._center = center
        self._calls = calls

    def perform(self, instruction: Instruction) -> Reply:
        self._calls.append(self._center)
        instruction.tensors["w"][0] = 100
        payload = Payload(self._center, "", "", 0, tensors=dict(instruction.tensors))
        return Reply(center=self._center, kind=instruction.kind, payload=payload)


@pytest.fixture
def calls() -> list[str]:
    """Which centers were at work, in order."""
    return []


@pytest.fixture
def grid(calls: list[str]) -> InProcessGrid:
    """Two centers, given in another order than their names'."""
    return InProcessGrid({name: build_client_app(Recorder(name, calls).perform) for name in ("b", "a")})


def _message(node_id: int, instruction: Instruction = TRAIN) -> Message:
    return Message(to_message_content(instruction), node_id, message_type(instruction.kind))


def test_flower_still_keeps_the_identity_where_we_set_it() -> None:
    """If this fails after an upgrade of Flower: see where `Message` takes run, task and node id from now."""
    assume_task_identity()
    message = Message(RecordDict(), 7, MessageType.QUERY)
    found = (message.metadata.run_id, message.metadata.src_node_id, TaskIdentity.task_id)
    assert found == (1, 1, 1), f"flwr {version('flwr')} sets another identity: {found}"


def test_nodes_are_numbered_in_name_order(grid: InProcessGrid) -> None:
    assert [(node.node_id, node.name) for node in grid.get_nodes()] == [(2, "a"), (3, "b")]
    assert grid.get_node_ids() == [2, 3]


def test_push_alone_runs_nothing_and_each_pull_one_center(grid: InProcessGrid, calls: list[str]) -> None:
    ids = grid.push_messages([_message(3), _message(2)])
    assert calls == []
    assert [len(grid.pull_messages(ids)) for _ in range(3)] == [1, 1, 0]
    assert calls == ["b", "a"]


def test_only_messages_asked_for_are_run(grid: InProcessGrid, calls: list[str]) -> None:
    _, second = grid.push_messages([_message(2), _message(3)])
    (reply,) = grid.pull_messages([second])
    assert calls == ["b"]
    assert (reply.metadata.src_node_id, reply.metadata.reply_to_message_id) == (3, second)


def test_newer_message_replaces_an_unanswered_one(grid: InProcessGrid, calls: list[str]) -> None:
    (late,) = grid.push_messages([_message(2)])
    (fresh,) = grid.push_messages([_message(2)])
    assert grid.pull_messages([late]) == []
    assert len(grid.pull_messages([fresh])) == 1
    assert calls == ["a"]


def test_replacement_queues_behind_what_was_sent_before(grid: InProcessGrid, calls: list[str]) -> None:
    """To a, to b, to a again: b's message is the older one now."""
    _, to_b, to_a = grid.push_messages([_message(2), _message(3), _message(2)])
    grid.pull_messages([to_a, to_b])
    assert calls == ["b"]


def test_sides_share_no_memory(grid: InProcessGrid) -> None:
    """The center overwrites its copy with 100; what the server sent still holds 1."""
    (reply,) = grid.send_and_receive([_message(2)])
    payload = read_reply(reply.content).payload
    assert payload is not None
    assert payload.tensors["w"].tolist() == [100, 2]
    assert TRAIN.tensors["w"].tolist() == [1, 2]


def test_send_and_receive_starts_nothing_after_the_timeout(grid: InProcessGrid, calls: list[str]) -> None:
    assert grid.send_and_receive([_message(2)], timeout=0) == []
    assert calls == []


def test_message_to_nobody_is_answered_with_an_error(grid: InProcessGrid) -> None:
    (reply,) = grid.send_and_receive([_message(9)])
    assert reply.error.code == 5


def test_failing_app_is_answered_with_an_error_without_text(caplog: pytest.LogCaptureFixture) -> None:
    app = ClientApp()

    @app.train()
    def train(_message: Message, _context: object) -> Message:
        raise ValueError("DOE^JOHN")

    (reply,) = InProcessGrid({"a": app}).send_and_receive([_message(2)])
    assert (reply.error.code, reply.error.reason) == (2, None)
    assert "DOE^JOHN" in caplog.text


def test_content_that_is_no_instruction_is_answered_with_a_code(grid: InProcessGrid) -> None:
    (reply,) = grid.send_and_receive([Message(RecordDict(), 2, MessageType.EVALUATE)])
    assert read_reply(reply.content) == Reply(center="", kind="evaluate", error="unreadable")


def test_unreadable_comparison_is_answered_as_one(grid: InProcessGrid) -> None:
    """Flower's type alone would say `evaluate`."""
    content = to_message_content(replace(TRAIN, kind="compare"))
    del content["tensors"]
    (reply,) = grid.send_and_receive([Message(content, 2, message_type("compare"))])
    assert read_reply(reply.content) == Reply(center="", kind="compare", error="unreadable")


@pytest.mark.parametrize("kind", ["compare", "observe"])
def test_kinds_that_share_a_type_of_message_stay_apart(grid: InProcessGrid, kind: Kind) -> None:
    (reply,) = grid.send_and_receive([_message(2, replace(TRAIN, kind=kind))])
    assert read_reply(reply.content).kind == kind


def test_reply_that_cannot_be_packed_becomes_a_code() -> None:
    payload = Payload("a", "", "", 0, tensors={"w": np.array([1], np.float64)})
    app = build_client_app(lambda _: Reply(center="a", kind="train", payload=payload))
    (reply,) = InProcessGrid({"a": app}).send_and_receive([_message(2)])
    assert read_reply(reply.content).error == "payload"


def test_grid_keeps_the_run_and_makes_messages(grid: InProcessGrid) -> None:
    grid.set_run(Run.create_empty(5))
    assert grid.run.run_id == 5
    assert grid.create_message(RecordDict(), MessageType.QUERY, 2, "g").metadata.group_id == "g"
