"""The loop of a study: its order of events, its end, and that a complete one has nothing left to do."""

import json
from pathlib import Path

import pytest

from server.study.events import (
    CenterHeard,
    CentersAsked,
    Ended,
    Event,
    Resumed,
    RoundKept,
    RoundStarted,
    ScoringStarted,
)
from tests.support.light_study import light


def test_the_events_of_a_study_come_in_order(tmp_path: Path) -> None:
    heard: list[Event] = []
    light(tmp_path).run(heard.append)
    kinds = [type(event).__name__ for event in heard if not isinstance(event, CentersAsked | CenterHeard)]
    one_round = ["RoundStarted", "CenterAnswered", "CenterAnswered", "RoundKept"]
    assert kinds == [
        "Resumed",
        *["ScoringStarted", "StageScored"],
        *one_round * 3,
        *["ScoringStarted", "StageScored"],
        "Ended",
    ]
    assert [event.server_round for event in heard if isinstance(event, RoundKept)] == [1, 2, 3]
    assert [event.stage for event in heard if isinstance(event, ScoringStarted)] == ["initial", "adapt"]
    assert heard[-1] == Ended(None)


def test_a_complete_study_has_nothing_left_to_do(tmp_path: Path) -> None:
    found = light(tmp_path)
    found.run()
    heard: list[Event] = []
    found.run(heard.append)
    assert heard == [Resumed(3), Ended(None)]


def test_a_run_that_is_interrupted_says_so_and_goes_on_from_its_last_round(tmp_path: Path) -> None:
    found, heard = light(tmp_path), list[Event]()

    def stop_in_round_2(event: Event) -> None:
        heard.append(event)
        if isinstance(event, RoundStarted) and event.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        found.run(stop_in_round_2)
    assert isinstance(heard[-1], Ended)
    assert isinstance(heard[-1].error, KeyboardInterrupt)
    assert json.loads(found.directory.result.read_text())["status"] == "interrupted"
    found.run()
    assert [error for *_, error in found.errors] == [""] * 6
    trained = [told.server_round for told in found.centers["a"].performed if told.kind == "train"]
    assert trained == [1, 2, 3]
