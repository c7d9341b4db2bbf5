"""Instructions reach centers by name; replies come back under the right name, late ones apart."""

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Message
from flwr.proto.node_pb2 import NodeInfo

from deploy.simulation.in_process import InProcessGrid
from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from server.grid.center_grid import CenterGrid
from server.grid.pace import Pace
from tests.support.grids import REGISTER, SETTINGS, TRAIN, SilentGrid, SlowGrid, apps, in_time, late_centers, says


def test_centers_are_known_by_the_name_of_their_node() -> None:
    assert CenterGrid(InProcessGrid(apps("b", "a"))).centers() == {"a": 2, "b": 3}


def test_connected_centers_are_named_in_order() -> None:
    grid = InProcessGrid(apps("b", "a"))
    center_grid = CenterGrid(grid)
    assert list(center_grid.centers()) == ["a", "b"]
    grid._names = {3: "b"}
    assert list(center_grid.centers()) == ["b"]


def test_bytes_down_count_reference_and_backbone() -> None:
    """2 + 3 + 4 float32 values: 36 bytes."""
    asked = replace(TRAIN, backbone={"b": np.zeros(3, np.float32)}, reference={"w": np.zeros((2, 2), np.float32)})
    (answer,) = CenterGrid(InProcessGrid(apps("a"))).ask({"a": asked}, deadline_s=5)
    assert answer.bytes_down == 36


def test_center_that_joins_within_a_round_is_not_asked_in_it() -> None:
    """It connects when the first reply is looked for; the next round asks it."""
    grid = InProcessGrid(apps("a", "b"))
    both, grid._names = grid._names, {2: "a"}

    class Growing(InProcessGrid):
        def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
            self._names = both
            return super().pull_messages(message_ids)

    grid.__class__ = Growing
    center_grid = CenterGrid(grid)
    replies = in_time(center_grid.ask({"a": TRAIN, "b": TRAIN}, deadline_s=5))
    assert {center: reply.error for center, reply in replies.items()} == {"a": "", "b": "node-unavailable"}
    assert in_time(center_grid.ask({"b": TRAIN}, deadline_s=5))["b"].error == ""


def test_replies_come_one_by_one_with_bytes_of_their_tensors() -> None:
    """2 float32 values down are 8 bytes, 3 up are 12."""
    answers = list(CenterGrid(InProcessGrid(apps("a", "b"))).ask({"b": TRAIN, "a": TRAIN}, deadline_s=5))
    found = [(answer.center, answer.bytes_down, answer.bytes_up) for answer in answers]
    assert found == [("b", 8, 12), ("a", 8, 12)]
    assert [answer.reply.payload.center for answer in answers if answer.reply.payload] == ["b", "a"]


def test_grid_that_answers_at_once_is_never_waited_for() -> None:
    """Twenty centers with a poll interval of a minute: done in no time."""
    many = apps(*(f"c{number:02d}" for number in range(20)))
    start = time.monotonic()
    answers = list(CenterGrid(InProcessGrid(many), poll_s=60).ask(dict.fromkeys(many, TRAIN), deadline_s=600))
    assert len(answers) == 20
    assert time.monotonic() - start < 5


def test_center_that_is_not_connected_is_unavailable() -> None:
    (answer,) = CenterGrid(InProcessGrid(apps("a"))).ask({"z": TRAIN}, deadline_s=5)
    assert answer.reply == Reply(center="z", kind="train", error="node-unavailable")


def test_deadline_returns_what_arrived_and_names_who_is_late(caplog: pytest.LogCaptureFixture) -> None:
    grid = SilentGrid(apps("a", "b"))
    with caplog.at_level(logging.WARNING):
        replies = in_time(CenterGrid(grid, poll_s=0.02).ask({"a": TRAIN, "b": TRAIN}, deadline_s=0.2))
    assert sorted(replies) == ["b"]
    assert "center 'a' did not answer 'train' (adapt/1) within 0.2 s" in caplog.text
    assert 2 <= grid.looks <= 12


def test_late_reply_does_not_answer_the_next_instruction() -> None:
    grid = SilentGrid(apps("a"))
    center_grid = CenterGrid(grid, poll_s=0.01)
    assert list(center_grid.ask({"a": TRAIN}, deadline_s=0.05)) == []
    grid.__class__ = InProcessGrid  # type: ignore[assignment]
    evaluate = Instruction(kind="evaluate", settings=SETTINGS)
    assert in_time(center_grid.ask({"a": evaluate}, deadline_s=5)) == {"a": Reply("a", "evaluate")}


def test_late_reply_is_handed_on_once_and_apart(caplog: pytest.LogCaptureFixture) -> None:
    """Center a answers round 1 while round 2 waits; round 2 has its own answer of a."""
    grid = SlowGrid(apps("a", "b"), 2)
    center_grid = CenterGrid(grid, poll_s=0.01)
    assert [answer.center for answer in center_grid.ask({"a": TRAIN, "b": TRAIN}, deadline_s=0.05)] == ["b"]
    grid.held.clear()
    second = replace(TRAIN, server_round=2, kind="evaluate")
    answers = list(center_grid.ask({"a": second, "b": second}, deadline_s=5))
    assert in_time(answers) == {center: Reply(center, "evaluate") for center in ("a", "b")}
    (late,) = [answer for answer in answers if answer.late]
    assert (late.center, late.reply.kind, late.bytes_down, late.bytes_up) == ("a", "train", 8, 12)
    assert "center 'a' answered 'train' (adapt/1) after the deadline" in caplog.text
    assert late_centers(center_grid.ask({"b": second}, deadline_s=5)) == []


def test_late_reply_is_heard_while_a_center_registers() -> None:
    grid = SlowGrid(apps("a", "b"), 2)
    center_grid = CenterGrid(grid, poll_s=0.01)
    assert list(center_grid.ask({"a": TRAIN}, deadline_s=0.05)) == []
    grid.held.clear()
    answers = list(center_grid.register(REGISTER, deadline_s=5, expected=["b"]))
    assert (sorted(in_time(answers)), late_centers(answers)) == (["b"], ["a"])


def test_late_reply_that_comes_while_others_are_waited_for_is_heard() -> None:
    """Nodes 2 and 3 are silent; 2 answers at the third look of the second round."""
    grid = SlowGrid(apps("a", "b"), 2, 3)
    center_grid = CenterGrid(grid, poll_s=0.01)
    assert list(center_grid.ask({"a": TRAIN}, deadline_s=0.05)) == []
    looks = []

    class Waking(SlowGrid):
        def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
            looks.append(1)
            if len(looks) > 4:
                self.held.discard(2)
            return super().pull_messages(message_ids)

    grid.__class__ = Waking
    answers = list(center_grid.ask({"b": TRAIN}, deadline_s=0.3))
    assert (in_time(answers), late_centers(answers)) == ({}, ["a"])


def test_late_reply_to_the_same_instruction_is_not_its_answer() -> None:
    grid = SlowGrid(apps("a"), 2)
    center_grid = CenterGrid(grid, poll_s=0.01)
    assert list(center_grid.ask({"a": TRAIN}, deadline_s=0.05)) == []
    grid.held.clear()
    assert [answer.late for answer in center_grid.ask({"a": TRAIN}, deadline_s=5)] == [True, False]


def test_late_introduction_names_a_nameless_node() -> None:
    class Nameless(SlowGrid):
        def get_nodes(self) -> list[NodeInfo]:
            return [NodeInfo(node_id=node_id) for node_id in self.get_node_ids()]

    grid = Nameless(apps("a", "b"), 2)
    center_grid = CenterGrid(grid, poll_s=0.01)
    assert sorted(in_time(center_grid.register(REGISTER, deadline_s=0.05, expected=["a", "b"]))) == ["b"]
    grid.held.clear()
    late = [answer.reply for answer in center_grid.ask({"b": TRAIN}, deadline_s=5) if answer.late]
    assert late == [Reply("a", "register")]
    assert list(center_grid.centers()) == ["a", "b"]


def test_late_introduction_under_a_name_that_is_taken_names_nobody(caplog: pytest.LogCaptureFixture) -> None:
    class Nameless(SlowGrid):
        def get_nodes(self) -> list[NodeInfo]:
            return [NodeInfo(node_id=node_id) for node_id in self.get_node_ids()]

    grid = Nameless({"1": says("b"), "2": says("b")}, 2)
    center_grid = CenterGrid(grid, poll_s=0.01)
    assert sorted(in_time(center_grid.register(REGISTER, deadline_s=0.05, expected=["a", "b"]))) == ["b"]
    grid.held.clear()
    assert in_time(center_grid.ask({"b": TRAIN}, deadline_s=5))["b"].error == ""
    assert center_grid.centers() == {"b": 3}
    assert "node 2 is not taken for center 'b'" in caplog.text


def test_messages_that_expired_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that comes after the message's time to live, a tenth of a second, is not looked for any more."""
    monkeypatch.setattr("server.grid.center_grid.DEFAULT_TTL", 0.1)
    grid = SlowGrid(apps("a", "b"), 2)
    center_grid = CenterGrid(grid, poll_s=0.01)
    assert list(center_grid.ask({"a": TRAIN}, deadline_s=0.02)) == []
    time.sleep(0.1)
    assert late_centers(center_grid.ask({"b": TRAIN}, deadline_s=5)) == []
    grid.held.clear()
    assert late_centers(center_grid.ask({"b": TRAIN}, deadline_s=5)) == []


def test_answers_that_nobody_waits_for_any_more_are_heard_late() -> None:
    """The reader stops after the first of two answers: the other is not lost, and belongs to no round."""
    grid = SlowGrid(apps("a", "b"), 3)
    center_grid = CenterGrid(grid, poll_s=0.01)
    for answer in center_grid.ask({"a": TRAIN, "b": TRAIN}, deadline_s=5):
        assert answer.center == "a"
        break
    grid.held.clear()
    assert late_centers(center_grid.ask({"a": TRAIN}, deadline_s=5)) == ["b"]


def test_nothing_is_sent_before_the_first_answer_is_asked_for() -> None:
    grid = InProcessGrid(apps("a"))
    answers = CenterGrid(grid).ask({"a": TRAIN}, deadline_s=5)
    assert not grid._pending
    assert len(list(answers)) == 1


class OwnWaits(Pace):
    """Each center has the wait that the test gives it; the others have the deadline."""

    def __init__(self, folder: Path, **waits: float) -> None:
        super().__init__(folder / "pace.json", 0)
        self.waits, self.heard = waits, list[tuple[str, str]]()

    def ask(self, instructions: Mapping[str, Instruction], longest_s: float) -> dict[str, float]:
        return {center: min(seconds, longest_s) for center, seconds in self.waits.items() if center in instructions}

    def hear(self, reply: Reply, asked_about: str) -> None:
        self.heard.append((reply.center, asked_about))


def test_a_round_ends_once_each_silent_center_had_its_own_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pace = OwnWaits(tmp_path, a=0.1)
    center_grid = CenterGrid(SilentGrid(apps("a", "b")), poll_s=0.01, pace=pace)
    assert list(in_time(center_grid.ask({"a": TRAIN, "b": TRAIN}, deadline_s=3600))) == ["b"]
    assert pace.heard == [("b", "adapt/1")]
    assert "center 'a' did not answer 'train' (adapt/1) within 0.1 s" in caplog.text


def test_a_center_whose_time_is_over_still_counts_while_another_is_waited_for(tmp_path: Path) -> None:
    """Nodes 2 and 3 are silent; b, whose time is over at once, answers at the third look and a at the sixth."""
    looks = []

    class Waking(SlowGrid):
        def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
            looks.append(1)
            self.held -= {3} if len(looks) > 4 else set()
            self.held -= {2} if len(looks) > 7 else set()
            return super().pull_messages(message_ids)

    grid = Waking(apps("a", "b"), 2, 3)
    center_grid = CenterGrid(grid, poll_s=0.01, pace=OwnWaits(tmp_path, a=3600, b=0))
    assert list(in_time(center_grid.ask({"a": TRAIN, "b": TRAIN}, deadline_s=3600))) == ["b", "a"]


def test_the_pace_is_told_of_a_late_answer(tmp_path: Path) -> None:
    pace, grid = OwnWaits(tmp_path, a=0), SlowGrid(apps("a"), 2)
    center_grid = CenterGrid(grid, poll_s=0.01, pace=pace)
    assert list(center_grid.ask({"a": TRAIN}, deadline_s=5)) == []
    grid.held.clear()
    pace.waits["a"] = 5
    assert in_time(center_grid.ask({"a": replace(TRAIN, server_round=2)}, deadline_s=5)).keys() == {"a"}
    assert pace.heard == [("a", "adapt/1"), ("a", "adapt/2")]
