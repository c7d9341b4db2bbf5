"""A center is waited for by what it took before: never less than a slow but steady one needs."""

from pathlib import Path

import pytest

from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from protocol.messages.settings import Training
from server.grid.pace import Pace
from tests.support.grids import SETTINGS

RECONNECT_S, LONGEST_S = 60.0, 21600.0


class Clock:
    """Seconds that the test lets pass."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pace(tmp_path: Path, clock: Clock) -> Pace:
    return Pace(tmp_path / "pace.json", RECONNECT_S, clock)


def train(number: int, stage: str = "adapt", *, scored: bool = True) -> Instruction:
    training = Training(
        groups=("peft",), local_steps=1, learning_rate=0.1, modality_shares={"ct": 1.0}, validate_first=scored
    )
    return Instruction("train", SETTINGS, stage, number, training=training)


def answer(pace: Pace, clock: Clock, asked: Instruction, took_s: float, *, worked_s: float = 0.0) -> None:
    """Center a is asked, and answers after so long."""
    pace.ask({"a": asked}, LONGEST_S)
    clock.now += took_s
    pace.hear(Reply("a", asked.kind, seconds=worked_s), f"{asked.stage}/{asked.server_round}")


def test_the_first_two_rounds_of_a_kind_have_the_longest_wait(pace: Pace, clock: Clock) -> None:
    assert pace.ask({"a": train(1)}, LONGEST_S) == {}
    answer(pace, clock, train(1), 300)
    assert pace.ask({"a": train(2)}, LONGEST_S) == {}


def test_then_a_center_has_four_times_its_slowest_and_the_time_to_come_back(pace: Pace, clock: Clock) -> None:
    """60 s to come back + 4 x 400 s; b was never heard."""
    answer(pace, clock, train(1), 400)
    answer(pace, clock, train(2), 100)
    assert pace.ask({"a": train(3), "b": train(3)}, LONGEST_S) == {"a": 1660.0}


@pytest.mark.parametrize(("took_s", "wait_s"), [(1, 660.0), (7200, LONGEST_S)], ids=["ten minutes", "six hours"])
def test_it_is_never_less_or_more_than(pace: Pace, clock: Clock, took_s: float, wait_s: float) -> None:
    answer(pace, clock, train(1), took_s)
    answer(pace, clock, train(2), took_s)
    assert pace.ask({"a": train(3)}, LONGEST_S) == {"a": wait_s}


def test_work_that_was_done_before_the_coordinator_started_again_counts_in_full(pace: Pace, clock: Clock) -> None:
    """The outbox answers at once; the center worked for 1,000 s."""
    answer(pace, clock, train(1), 1, worked_s=1000)
    answer(pace, clock, train(2), 10)
    assert pace.ask({"a": train(3)}, LONGEST_S) == {"a": 4060.0}


def test_a_late_answer_gives_the_next_round_the_time_that_it_took(pace: Pace, clock: Clock) -> None:
    """Asked for round 3 as well, before round 2's answer is there."""
    answer(pace, clock, train(1), 10)
    pace.ask({"a": train(2)}, LONGEST_S)
    clock.now += 900
    pace.ask({"a": train(3)}, LONGEST_S)
    clock.now += 100
    pace.hear(Reply("a", "train"), "adapt/2")
    assert pace.ask({"a": train(4)}, LONGEST_S) == {"a": 4060.0}


def test_other_rounds_tell_nothing(pace: Pace, clock: Clock) -> None:
    """Another stage, or a round that scores first where the others did not; nor does a failure, or a question."""
    for number in (1, 2):
        answer(pace, clock, Instruction("compare", SETTINGS, "adapt", number), 10)
    assert pace.ask({"a": Instruction("compare", SETTINGS, "adapt", 3)}, LONGEST_S) == {}
    pace.hear(Reply("a", "compare"), "adapt/3")
    answer(pace, clock, train(1), 10)
    answer(pace, clock, train(2), 10)
    for other in (train(3, "arrive"), train(3, scored=False)):
        assert pace.ask({"a": other}, LONGEST_S) == {}
        pace.hear(Reply("a", "train", error="internal"), f"{other.stage}/3")
    pace.ask({"b": train(3)}, LONGEST_S)
    pace.hear(Reply("b", "train", error="internal"), "adapt/3")
    pace.hear(Reply("b", "train"), "adapt/3")
    assert pace.ask({"b": train(4)}, LONGEST_S) == {}


@pytest.mark.parametrize(("slowest_s", "wait_s"), [(12, 3660.0), (300, 6060.0), (7200, LONGEST_S)])
def test_what_is_asked_once_a_stage_has_an_hour_or_twenty_times_the_slowest_round(
    pace: Pace, clock: Clock, slowest_s: float, wait_s: float
) -> None:
    """Seen in a federation: a trainer with rounds of 12 s that hung in scoring held up its study for six hours."""
    scores = Instruction("evaluate", SETTINGS, "adapt", 2)
    answer(pace, clock, train(1), slowest_s)
    assert pace.ask({"a": scores}, LONGEST_S) == {}
    pace.hear(Reply("a", "evaluate"), "adapt/2")
    answer(pace, clock, train(2), 10)
    assert pace.ask({"a": scores, "b": scores}, LONGEST_S) == {"a": wait_s}


def test_a_center_that_was_given_up_is_not_waited_for_longest_when_it_is_asked_for_scores(
    pace: Pace, clock: Clock
) -> None:
    """Seen in a federation: a trainer that hung in training held up the scores of its stage for six hours."""
    scores = Instruction("evaluate", SETTINGS, "adapt", 3)
    answer(pace, clock, train(1), 300)
    assert pace.ask({"a": scores, "b": scores}, LONGEST_S) == {}
    pace.hear(Reply("a", "evaluate"), "adapt/1")
    pace.ask({"a": train(2), "b": train(2)}, LONGEST_S)
    assert pace.ask({"a": scores, "b": scores}, LONGEST_S) == {"a": 1260.0}
    pace.hear(Reply("a", "train", seconds=700), "adapt/2")
    assert pace.ask({"a": scores}, LONGEST_S) == {"a": 14060.0}
    pace.hear(Reply("a", "evaluate", error="internal"), "adapt/3")
    assert pace.ask({"a": scores}, LONGEST_S) == {"a": 14060.0}


def test_a_coordinator_that_starts_again_knows_the_pace(pace: Pace, clock: Clock, tmp_path: Path) -> None:
    answer(pace, clock, train(1), 400)
    answer(pace, clock, train(2), 400)
    assert Pace(tmp_path / "pace.json", RECONNECT_S).ask({"a": train(3)}, LONGEST_S) == {"a": 1660.0}


@pytest.mark.parametrize("text", ["{", "[1]", '[["a", "w"]]', '{"a": 1}', '[["a", "w", "x", 1]]'])
def test_a_damaged_file_is_as_none(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "pace.json").write_text(text)
    assert Pace(tmp_path / "pace.json", RECONNECT_S).ask({"a": train(3)}, LONGEST_S) == {}
    assert "the centers' pace is learnt anew" in caplog.text


def test_a_disk_that_refuses_costs_no_round(tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    pace = Pace(tmp_path / "file" / "pace.json", RECONNECT_S, clock)
    answer(pace, clock, train(1), 400)
    answer(pace, clock, train(2), 400)
    assert pace.ask({"a": train(3)}, LONGEST_S) == {"a": 1660.0}
    assert "the centers' pace is not kept" in caplog.text


def test_the_log_says_how_long_who_is_waited_for(pace: Pace, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    answer(pace, clock, train(1), 400)
    answer(pace, clock, train(2), 400)
    pace.ask({"a": train(3)}, LONGEST_S)
    assert "are waited for: 'a' 27 min 40 s; any other 6 h 0 min" in caplog.text
