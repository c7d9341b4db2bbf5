"""What a center's page reads of its test cases."""

import json
from pathlib import Path

import pytest

from client.report.task_rows import CaseRow, CohortRow, fullest_inputs, read_cohorts, read_rows
from client.scores.score_log import record_cohorts, record_scores
from client.tasks.contract import CaseScore
from protocol.errors import CaseError
from protocol.messages.scores import Score
from tests.support.segmentation_task import row


def test_what_the_trainer_wrote_is_read_by_task(tmp_path: Path) -> None:
    risk = CaseScore("p", "ct", {"risk/death": 0.25})
    record_scores(tmp_path, "first", {"segmentation": [row("p")], "survival": [risk]})
    assert read_rows(tmp_path / "scores.json") == {
        "segmentation": [CaseRow("first", "p", "ct", {"dice": 0.5, "hd95_mm": None})],
        "survival": [CaseRow("first", "p", "ct", {"risk/death": 0.25})],
    }


def test_figures_are_read_as_they_were_written(tmp_path: Path) -> None:
    score = Score(6, {"auc": 0.75}, {"auc": 1})
    record_cohorts(tmp_path, "first", {"ct": score})
    assert read_cohorts(tmp_path / "cohorts.json") == (CohortRow("first", "ct", score),)


def test_a_home_without_scores_has_none(tmp_path: Path) -> None:
    assert read_rows(tmp_path / "scores.json") == {}
    assert read_cohorts(tmp_path / "cohorts.json") == ()


def test_rows_of_homes_from_before_there_were_tasks_are_of_masks(tmp_path: Path) -> None:
    old = {"part": "test", "stage": "s", "case": "p", "modalities": "ct", "dice": 0.5, "hd95_mm": None}
    (tmp_path / "scores.json").write_text(json.dumps([old]))
    assert list(read_rows(tmp_path / "scores.json")) == ["segmentation"]


@pytest.mark.parametrize("text", ["{", "[{}]"])
def test_a_broken_file_says_how_to_mend_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    for read in (read_rows, read_cohorts):
        with pytest.raises(CaseError, match="evaluate again to replace them"):
            read(tmp_path / "x.json")


def test_the_fullest_inputs_are_those_that_no_other_contains() -> None:
    given = ("ct", "ct+pet", "pet+ehr", "pet", "ct")
    assert fullest_inputs(CaseRow("s", "p", setting, {}) for setting in given) == ["ct+pet", "pet+ehr"]
