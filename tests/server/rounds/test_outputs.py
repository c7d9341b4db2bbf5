"""The files that every run leaves behind."""

import json
from pathlib import Path
from typing import Any, cast

import pytest

from protocol.errors import StudyError
from server.rounds.outputs import add_services, write_outputs
from server.study.checkpoint import Checkpoint
from server.tracking.tracker import Tracker
from strategies.bank.told import digest
from tests.support.entered_study import Entered, enter
from tests.support.own_service import SERVICE


class Noting:
    """In the place of the tracker."""

    def __init__(self) -> None:
        self.states: list[Checkpoint] = []

    def catch_up(self, state: Checkpoint) -> None:
        self.states.append(state)


def leave(entered: Entered) -> None:
    """The outputs of the entered study."""
    tracker = cast("Tracker", Noting())
    write_outputs(entered.found.directory, entered.prepared, entered.state, entered.bank, tracker, {}, "complete")


def test_what_the_centers_are_served_is_added_once_and_stays_at_the_next_end_of_a_run(tmp_path: Path) -> None:
    entered = enter(tmp_path)
    directory = entered.found.directory
    leave(entered)
    told: list[tuple[str, Any]] = []
    entered.bank.tell = lambda event, facts: told.append((event, facts))
    add_services(directory, entered.bank, [SERVICE])
    written = directory.result.read_bytes()
    assert told == [("result", {"sha256": digest(written)})]
    assert json.loads(written)["service"][0]["adapter"] == "a/0003"
    assert "Federated, or trained alone" in directory.report.read_text()
    directory.report.unlink()
    add_services(directory, entered.bank, [SERVICE])
    assert not directory.report.exists(), "nothing new is nothing to write"
    leave(entered)
    assert directory.result.read_bytes() == written


def test_a_study_without_a_result_cannot_say_what_is_served(tmp_path: Path) -> None:
    entered = enter(tmp_path)
    with pytest.raises(StudyError, match=r"has no result.json; finish the study first"):
        add_services(entered.found.directory, entered.bank, [SERVICE])


def test_a_run_leaves_result_matrix_and_report_as_far_as_it_came(tmp_path: Path) -> None:
    entered, tracker = enter(tmp_path), Noting()
    directory, cases = entered.found.directory, {"a": {"train": 5, "validation": 5, "test": 5}}
    write_outputs(
        directory, entered.prepared, entered.state, entered.bank, cast("Tracker", tracker), cases, "interrupted"
    )
    result: dict[str, Any] = json.loads(directory.result.read_text())
    assert result["status"] == "interrupted"
    assert json.loads(directory.matrix.read_text()) == result["matrices"]
    assert "Centers without data" in directory.report.read_text()
    assert tracker.states == [entered.state]


def test_a_resumed_run_that_no_center_registers_with_keeps_what_was_told_of_their_cases(tmp_path: Path) -> None:
    entered, tracker = enter(tmp_path), cast("Tracker", Noting())
    path, cases = entered.found.directory.result, {"train": 5, "validation": 4, "test": 3}
    arguments = (entered.found.directory, entered.prepared, entered.state, entered.bank, tracker)
    write_outputs(*arguments, {"a": cases}, "complete")
    leave(entered)
    assert json.loads(path.read_text())["centers"]["a"]["cases"] == cases
    path.write_bytes(path.read_bytes()[:-20])
    leave(entered)
    assert set(json.loads(path.read_text())["centers"]["a"]["cases"].values()) == {None}
