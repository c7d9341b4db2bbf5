"""A reply belongs to the center that was asked; what does not fit becomes a code."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from client.app import build_client_app
from deploy.simulation.in_process import InProcessGrid
from protocol.messages.instruction import Instruction, Kind
from protocol.messages.reply import Reply
from protocol.packed_tensors import BlobBounds
from server.grid.center_grid import CenterGrid
from server.grid.pulling import pull_together
from server.grid.transport import Node, PendingMessage, Transport, withdraw
from tests.support.grids import TRAIN, VanishingGrid, apps, in_time, says, trained
from tests.support.hostile_replies import HOSTILE_COMPARISONS, HOSTILE_SCORES, HOSTILE_UPDATES
from tests.support.messages import PAYLOAD
from tests.support.reply_damage import Hostile, with_error, with_fields
from tests.support.segmentation_scores import dice_score


def ask(grid: Grid, instructions: Mapping[str, Instruction]) -> dict[str, Reply]:
    return in_time(CenterGrid(grid).ask(instructions, deadline_s=5))


def test_a_message_is_received_once_by_the_id_it_was_sent_under() -> None:
    """Two float32 values: 8 bytes down."""
    transport = Transport(InProcessGrid(apps("a")), pull_together)
    waiting = transport.send(TRAIN, "a", Node(2, ""), 60)
    ((message, reply),) = transport.receive(waiting)
    assert (message.center, message.about, message.bytes_down) == ("a", "adapt/1", 8)
    assert (reply.center, reply.kind, waiting) == ("a", "train", {})
    assert transport.receive(waiting) == []


def test_withdrawing_a_message_takes_its_copies_and_nothing_else() -> None:
    """A copy went to the node that was there before; another round is another message."""
    first = PendingMessage("a", Node(2, "early"), "train", 8, "adapt/1", 60)
    copy = PendingMessage("a", Node(2, "later"), "train", 8, "adapt/1", 60)
    other = PendingMessage("a", Node(2, "later"), "train", 8, "adapt/2", 60)
    waiting = {"1": first, "2": copy, "3": other}
    withdraw(waiting, [first])
    assert waiting == {"3": other}


def test_vanished_node_is_attributed_to_its_center() -> None:
    """Flower answers as node 1; the message it replies to tells that it was center 'a'."""
    replies = ask(VanishingGrid(apps("a", "b")), {"a": TRAIN, "b": TRAIN})
    assert replies["a"] == Reply(center="a", kind="train", error="node-unavailable")
    assert replies["b"].error == ""


def test_center_cannot_answer_for_another() -> None:
    replies = ask(InProcessGrid({"a": says("b"), "b": says("b")}), {"a": TRAIN, "b": TRAIN})
    assert (replies["a"], replies["b"].error) == (Reply("a", "train", error="other-center"), "")


def test_center_cannot_send_a_payload_of_another() -> None:
    app = build_client_app(lambda _: Reply("a", "train", payload=trained("b").payload))
    replies = ask(InProcessGrid({"a": app}), {"a": TRAIN})
    assert replies == {"a": Reply("a", "train", error="other-center")}


def test_payload_without_a_name_gets_the_name_of_the_center_asked() -> None:
    app = build_client_app(lambda _: Reply("", "train", payload=trained("").payload))
    reply = ask(InProcessGrid({"a": app}), {"a": TRAIN})["a"]
    assert reply.payload is not None
    assert (reply.center, reply.payload.center) == ("a", "a")


def test_answer_to_another_kind_of_instruction_is_unreadable() -> None:
    app = build_client_app(lambda _: Reply("a", "evaluate"))
    assert ask(InProcessGrid({"a": app}), {"a": TRAIN})["a"].error == "unreadable"


def test_reply_that_is_no_reply_is_unreadable() -> None:
    class Garbling(InProcessGrid):
        def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
            replies = super().pull_messages(message_ids)
            for reply in replies:
                reply.content = RecordDict({"header": ConfigRecord({"json": "{}"})})
            return replies

    assert ask(Garbling(apps("a")), {"a": TRAIN})["a"].error == "unreadable"


def test_reply_without_a_name_gets_the_name_of_the_center_asked() -> None:
    def perform(_: Instruction) -> Reply:
        raise ValueError

    replies = ask(InProcessGrid({"a": build_client_app(perform)}), {"a": TRAIN})
    assert replies == {"a": Reply(center="a", kind="train", error="internal")}


def answer_to(asked: Instruction, honest: Reply, hostile: Hostile) -> Reply:
    """What the coordinator makes of an honest reply that was changed on its way."""

    class Changing(InProcessGrid):
        def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
            replies = super().pull_messages(message_ids)
            for reply in replies:
                reply.content = hostile(RecordDict(dict(reply.content)))
            return replies

    grid = CenterGrid(Changing({"a": build_client_app(lambda _: honest)}))
    grid.expect(lambda _center, _kind: BlobBounds(tensors=2, tensor_bytes=1000))
    return in_time(grid.ask({"a": asked}, deadline_s=5))["a"]


def unchanged(content: RecordDict) -> RecordDict:
    """What arrives as it was sent."""
    return content


UPDATE = Reply(
    "a",
    "train",
    payload=replace(PAYLOAD, center="a", tensors={"qkv#lora_b": np.ones((4, 2), np.float32)}),
    scores={"ct": dice_score(5, 0.5, 3.0)},
    loss=0.5,
)
LEFT_TO_VALIDATION = {
    "payload: none",
    "payload: a stage that is a path",
    "payload: round of an earlier stage",
    "payload: a phase nobody has",
    "packed: two unknown tensors",
    "packed: a name that is a path",
    "values: NaN",
    "values: infinite",
    "values: minus infinite",
}
"""Well-formed, and of another round, stage, phase or study: `protocol.validation` knows what is expected."""


def test_no_hostile_update_is_taken_by_the_grid(caplog: pytest.LogCaptureFixture) -> None:
    taken = {name for name, hostile in HOSTILE_UPDATES.items() if not answer_to(TRAIN, UPDATE, hostile).error}
    assert taken == LEFT_TO_VALIDATION - {"packed: two unknown tensors"}
    assert all(len(line) < 5000 for line in caplog.messages)
    assert [line for line in caplog.messages if not line.replace("\n", "").isprintable()] == []


@pytest.mark.parametrize(("kind", "table"), [("evaluate", HOSTILE_SCORES), ("compare", HOSTILE_COMPARISONS)])
def test_no_hostile_figure_is_taken_by_the_grid(kind: Kind, table: Mapping[str, Hostile]) -> None:
    honest = replace(UPDATE, kind=kind, payload=None, loss=None)
    asked = replace(TRAIN, kind=kind)
    assert answer_to(asked, honest, unchanged).error == ""
    assert [name for name, hostile in table.items() if not answer_to(asked, honest, hostile).error] == []


def test_an_error_brings_nothing_but_its_code() -> None:
    def failed(content: RecordDict) -> RecordDict:
        return with_fields(loss=0.5, seconds=9.0)(with_error("cases")(content))

    assert answer_to(TRAIN, UPDATE, failed) == Reply("a", "train", error="cases")


def test_more_tensors_or_bytes_than_were_asked_for_are_not_looked_at() -> None:
    assert answer_to(TRAIN, UPDATE, unchanged).error == ""
    more = replace(UPDATE, payload=replace(PAYLOAD, center="a", tensors={"w": np.ones(251, np.float32)}))
    assert answer_to(TRAIN, more, unchanged).error == "unreadable"
