"""An update that missed its round is asked after, set aside, noted and shown; it counts in no round."""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from protocol.errors import QuorumError, StorageError
from protocol.messages.payload import Payload
from protocol.messages.reply import Reply
from protocol.messages.tensors import content_hash
from server.results.report import report_html
from server.rounds.inbox import Inbox
from server.rounds.late_updates import LateUpdates
from server.study import checkpoint as checkpoints
from server.study.events import Event, LateFound, RoundStarted, tell_all
from server.study.history import History, RoundRecord
from tests.support.light_study import STUDY, Light, light

SHORT = STUDY.replace("quorum = 1", "quorum = 1\ndeadline_s = 0.5")


def fates(found: Light) -> list[tuple[int, str, int, str]]:
    return [(r.server_round, r.center, r.found_in_round, r.fate) for r in found.state.history.late]


def aside(found: Light) -> int:
    return len(list((found.root / "inbox" / "late").glob("*")))


class At:
    """Does something when a round starts: round -> action."""

    def __init__(self, **actions: Callable[[], object]) -> None:
        self.actions = actions
        self.late: list[tuple[int, str]] = []

    def listen(self, event: Event) -> None:
        match event:
            case RoundStarted(number=number):
                self.actions.get(f"round_{number}", lambda: None)()
            case LateFound(record):
                self.late.append((record.server_round, record.center))


@pytest.fixture
def cut(tmp_path: Path) -> tuple[Light, At]:
    """Center b trains in round 1, but its link is cut before it answers, until round 2 starts."""
    found = light(tmp_path)
    answer = found.grid._answer

    def losing(node_id: int, message: object) -> object:
        reply = answer(node_id, message)  # type: ignore[arg-type]
        trained = [i.server_round for i in found.centers["b"].performed if i.kind == "train"]
        if trained == [1] and not found.grid.away:
            found.grid.away.add("b")
        return reply

    found.grid._answer = losing  # type: ignore[assignment, method-assign]

    def mend() -> None:
        found.grid._answer = answer  # type: ignore[method-assign]
        found.grid.away.clear()

    return found, At(round_2=mend)


def test_update_of_a_center_whose_link_was_cut_is_collected_and_set_aside(cut: tuple[Light, At]) -> None:
    found, at = cut
    found.run(at.listen)
    assert found.errors[:3] == [(1, "a", ""), (1, "b", "node-unavailable"), (2, "a", "")]
    assert fates(found) == [(1, "b", 2, "set-aside")]
    assert at.late == [(1, "b")]
    assert aside(found) == 1
    assert found.centers["b"].outbox_rounds() == set(), "acknowledged, and forgotten by the center"


def test_what_was_set_aside_is_shown(cut: tuple[Light, At]) -> None:
    found, at = cut
    found.run(at.listen)
    result = json.loads(found.directory.result.read_text())
    (late,) = result["late"]
    assert (late["stage"], late["server_round"], late["center"]) == ("adapt", 1, "b")
    assert "Updates that missed their round" in report_html(result)
    assert "Updates that missed their round" not in report_html({**result, "late": []})
    kinds = [(query["kind"], query["center"], query["error"]) for query in result["queries"]]
    assert kinds == [("collect", "b", "")]


def test_center_without_an_update_is_asked_once(tmp_path: Path) -> None:
    """It was not there in round 1 and never got the instruction."""
    found = light(tmp_path)
    found.run(At(round_1=lambda: found.grid.away.add("b"), round_2=found.grid.away.clear).listen)
    assert fates(found) == [(1, "b", 2, "nothing-waiting")]
    collects = [query for query in found.state.history.queries if query.kind == "collect"]
    assert [(query.center, query.error) for query in collects] == [("b", "nothing-waiting")]


def test_center_that_is_away_stays_open_and_is_told_so(tmp_path: Path) -> None:
    """It misses rounds 1 and 2: until it is known what became of them, it may forget nothing."""
    found = light(tmp_path)
    found.run(At(round_1=lambda: found.grid.away.add("b"), round_3=found.grid.away.clear).listen)
    assert fates(found) == [(1, "b", 3, "nothing-waiting"), (2, "b", 3, "nothing-waiting")]
    told = [(i.server_round, i.acknowledged) for i in found.centers["b"].performed if i.kind == "train"]
    assert told == [(3, 2)]


def test_answer_after_the_deadline_is_noted_in_the_history(tmp_path: Path) -> None:
    """Center b is slow: its answer to round 1 comes while round 2 is under way, nobody has to collect it."""
    found = light(tmp_path, SHORT)
    found.run(At(round_1=lambda: found.grid.held.add("b"), round_2=found.grid.held.clear).listen)
    assert found.errors[1] == (1, "b", "no-answer")
    assert fates(found) == [(1, "b", 2, "set-aside")]
    assert [query.kind for query in found.state.history.queries] == []


def test_late_records_come_back_from_the_checkpoint(cut: tuple[Light, At]) -> None:
    found, at = cut
    found.run(at.listen)
    (record,) = found.state.history.late
    assert (record.center, len(record.sha256)) == ("b", 64)


def test_update_set_aside_by_a_run_that_died_before_it_noted_that_is_recognised(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    state = light_state()
    inbox.put_aside(PAYLOAD, "late")
    updates = LateUpdates(inbox, tell_all(), ())
    assert updates._take_in(Reply("b", "collect", error="nothing-waiting"), state) is False
    assert [(record.server_round, record.fate) for record in updates.records] == [(1, "set-aside")]


PAYLOAD = Payload("b", "", "adapt", 1, {})


def light_state() -> checkpoints.Checkpoint:
    """After two rounds, the first of which went on without center b."""
    rounds = (RoundRecord("adapt", 1, "b", error="node-unavailable"), RoundRecord("adapt", 2, "b"))
    return checkpoints.Checkpoint(0, 2, "", {}, history=History(rounds=rounds))


def test_what_cannot_be_set_aside_is_named_and_stays_open(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr("server.rounds.inbox.write_private", refuse)
    updates, state = LateUpdates(Inbox(tmp_path), tell_all(), ()), light_state()
    with caplog.at_level(logging.ERROR):
        updates.set_aside(Reply("b", "train", payload=PAYLOAD), state)
    assert f"center 'b', stage 'adapt', round 1, content hash {content_hash({})}" in caplog.text
    assert updates.records == ()
    assert updates.last_acknowledged("b", state) == 0


@pytest.mark.parametrize(
    "payload",
    [
        Payload("b", "", "adapt", 9, {}),
        Payload("b", "", "other", 1, {}),
        Payload("b", "", "adapt", 10**6, {}),
    ],
    ids=["future", "stage", "huge"],
)
def test_late_payload_of_a_round_that_never_was_is_kept_and_not_noted(tmp_path: Path, payload: Payload) -> None:
    updates = LateUpdates(Inbox(tmp_path), tell_all(), ())
    updates.set_aside(Reply("b", "train", payload=payload), light_state())
    assert updates.records == ()
    assert len(list((tmp_path / "late").glob("*"))) == 1


def test_late_observation_does_not_replace_a_late_update(tmp_path: Path) -> None:
    updates = LateUpdates(Inbox(tmp_path), tell_all(), ())
    updates.set_aside(Reply("b", "train", payload=PAYLOAD), light_state())
    updates.set_aside(Reply("b", "observe", payload=PAYLOAD), light_state())
    assert len(list((tmp_path / "late").glob("*"))) == 2
    assert len(updates.records) == 1


def test_center_that_comes_within_patience_takes_part_from_the_first_round(tmp_path: Path) -> None:
    found = light(tmp_path)
    looks = found.grid.get_nodes

    def coming() -> object:
        if found.grid.looks > 3:
            found.grid.away.clear()
        return looks()

    found.grid.away.add("b")
    found.grid.get_nodes = coming  # type: ignore[assignment, method-assign]
    found.run(patience_s=5)
    assert [error for *_, error in found.errors] == [""] * 6


def test_center_that_does_not_come_within_patience_is_named_in_every_round(tmp_path: Path) -> None:
    """The deadline is six hours; the quorum is there after 0.3 s."""
    found = light(tmp_path)
    found.grid.away.add("b")
    found.run(patience_s=0.3)
    assert {(center, error) for _, center, error in found.errors} == {("a", ""), ("b", "no-answer")}


def test_center_that_never_comes_is_named_where_the_quorum_needs_it(tmp_path: Path) -> None:
    found = light(tmp_path, SHORT.replace("quorum = 1", "quorum = 2"))
    found.grid.away.add("b")
    with pytest.raises(QuorumError, match=r"1 of 2 center\(s\) registered, quorum is 2; missing: \['b'\]"):
        found.run(patience_s=0.1)


def test_the_history_is_read_once_for_all_centers_of_a_round(tmp_path: Path) -> None:
    """Of a thousand centers with a thousand records, not a million."""
    read: list[int] = []

    class Counted(tuple[RoundRecord, ...]):  # noqa: SLOT001 - counts how often it is read
        def __iter__(self) -> Iterator[RoundRecord]:
            read.append(len(self))
            return super().__iter__()

    names = [f"c{number}" for number in range(1000)]
    rounds = Counted(RoundRecord("adapt", 1, name, error="node-unavailable") for name in names)
    state = checkpoints.Checkpoint(0, 2, "", {}, history=History(rounds=rounds))
    updates = LateUpdates(Inbox(tmp_path), tell_all(), ())
    assert {updates.last_acknowledged(name, state) for name in names} == {0}
    assert len(read) == 1
