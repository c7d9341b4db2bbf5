"""The files that every run leaves behind."""

import json
from pathlib import Path
from typing import Any, cast

from server.rounds.outputs import write_outputs
from server.study.checkpoint import Checkpoint
from server.tracking.tracker import Tracker
from tests.support.entered_study import enter


class Noting:
    """In the place of the tracker."""

    def __init__(self) -> None:
        self.states: list[Checkpoint] = []

    def catch_up(self, state: Checkpoint) -> None:
        self.states.append(state)


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
