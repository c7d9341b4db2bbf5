"""A message that Flower cannot put together costs its sender, and no other center's message with it."""

from collections.abc import Iterable

import httpx
import pytest
from flwr.app import Message

from deploy.simulation.in_process import InProcessGrid
from protocol.messages.reply import Reply
from server.grid.center_grid import CenterGrid
from server.grid.pulling import pull_apart, pull_together
from tests.support.grids import TRAIN, apps, in_time


class DecodeError(Exception):
    """As Flower's protocol raises it; derives from nothing more special."""


class Uninflatable(InProcessGrid):
    """A grid on which the objects of node 3's messages raise; whatever was pulled with them is lost, as with Flower."""

    def __init__(self, error: Exception) -> None:
        super().__init__(apps("a", "b", "c"))
        self.error, self.answered = error, dict[str, Message]()

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        found = []
        for message_id in list(message_ids):
            found += super().pull_messages([message_id])
        if any(reply.metadata.src_node_id == 3 for reply in found):
            raise self.error
        return found


@pytest.mark.parametrize("error", [DecodeError("x"), ValueError("\x1b[31m"), KeyError("x"), RecursionError()])
def test_one_that_cannot_be_put_together_costs_its_sender_alone(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    replies = in_time(CenterGrid(Uninflatable(error), pull=pull_apart).ask(dict.fromkeys("abc", TRAIN), deadline_s=5))
    assert {center: reply.error for center, reply in replies.items()} == {"a": "", "b": "unreadable", "c": ""}
    assert "center 'b' sent a reply that cannot be put together" in caplog.text
    assert "\x1b" not in caplog.text


def test_a_lost_link_is_nobodys_reply() -> None:
    grid = CenterGrid(Uninflatable(httpx.ConnectError("gone")), pull=pull_apart)
    with pytest.raises(httpx.ConnectError):
        in_time(grid.ask(dict.fromkeys("abc", TRAIN), deadline_s=5))


def test_a_reply_answers_the_message_it_was_fetched_for_whatever_it_says() -> None:
    """Center 'b' says that it replies to the message of 'a'."""

    class Claiming(InProcessGrid):
        first = ""

        def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
            found = super().pull_messages(message_ids)
            for reply in found:
                self.first = self.first or reply.metadata.reply_to_message_id
                reply.metadata.__dict__["_reply_to_message_id"] = self.first
            return found

    replies = in_time(CenterGrid(Claiming(apps("a", "b")), pull=pull_apart).ask({"a": TRAIN, "b": TRAIN}, deadline_s=1))
    assert {center: reply.error for center, reply in replies.items()} == {"a": "", "b": ""}


def test_together_and_apart_give_the_same_replies() -> None:
    for pull in (pull_together, pull_apart):
        replies = in_time(CenterGrid(InProcessGrid(apps("a", "b")), pull=pull).ask({"a": TRAIN}, deadline_s=5))
        assert [type(reply) for reply in replies.values()] == [Reply]
