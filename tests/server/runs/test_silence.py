"""When a center counts as silent, and what is said of it."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from server.runs.silence import MOST_NAMED, silence_note, silent_since
from server.superlink.link import RegisteredNode
from tests.support.listed_link import NOW

NODE = RegisteredNode("center-a", "1", "", "online", NOW, NOW)


def called(seconds_ago: float) -> datetime:
    return NOW - timedelta(seconds=seconds_ago)


def test_a_center_is_silent_once_two_calls_in_a_row_have_not_come():
    """It calls every three seconds."""
    silent = [silent_since(replace(NODE, last_call=called(ago_s)), NOW) for ago_s in (3, 5.9, 6, 30)]
    assert silent == [None, None, called(6), called(30)]


@pytest.mark.parametrize(
    "node",
    [NODE, replace(NODE, status="offline", last_call=called(60)), replace(NODE, status="registered")],
    ids=["not heard since the SuperLink began", "offline", "never seen"],
)
def test_of_what_is_not_known_or_told_already_nothing_is_said(node: RegisteredNode):
    assert silent_since(node, NOW) is None


def test_one_silent_center_is_named_with_its_last_call_and_what_to_do():
    what, _, remedy = silence_note({"center-a": called(7)}).partition("; ")
    assert what == "center 'center-a' has not called since 11:59:53 UTC and should every 3 s"
    assert "`concilium-center join` runs" in remedy


def test_many_are_one_sentence():
    """As where the coordinator itself stood still."""
    note = silence_note({f"c{number}": called(7 + number) for number in range(MOST_NAMED + 2)})
    assert note.startswith("7 centers have not called since 11:59:47 UTC or later: c0, c1, c2, c3, c4 and 2 more; ")
    assert silence_note({}) == ""
