"""What a page says of tasks that answer for cases."""

from pathlib import Path

import pytest

from client.report import cohort_sections as sections
from client.report.cohort_sections import PICTURES, FigureLine, cohort_sections
from client.report.task_rows import CaseRow, CohortRow, TaskPicture
from protocol.messages.scores import Score
from protocol.tasks import TASKS

ROWS = [
    CaseRow("first", "p", "ct", {"risk/death": 0.5}),
    CaseRow("second", "p", "ct", {"risk/death": 0.25, "days/death": 400.0}),
    CaseRow("second", "p", "ct+ehr", {"risk/death": None, "days/death": 400.0}),
]
NAMES = ("concordance/death", "pairs/death")
COHORTS = [
    CohortRow("first", "ct", Score(6, {"concordance/death": 0.5, "pairs/death": 10.0})),
    CohortRow("second", "ct", Score(6, {"dice": 0.9, "concordance/death": 0.75, "pairs/death": 12.0})),
    CohortRow("second", "ct+ehr", Score(6, dict.fromkeys(NAMES, None), {"concordance/death": 6, "pairs/death": 6})),
]
HOME = Path("home")


def test_every_metric_of_the_task_has_a_line_with_a_cell_for_each_input() -> None:
    """The figures of the latest stage; Dice is another task's, and a count stands on no cases."""
    (found,) = cohort_sections(HOME, COHORTS, {"survival": ROWS}, ["first", "second"])
    assert (found.task, found.settings) == ("survival", ("ct+ehr", "ct"))
    assert found.lines == (
        FigureLine("concordance, death", ("undefined (0 cases)", "0.750 (6 cases)")),
        FigureLine("comparable pairs, death", ("undefined", "12")),
    )


def test_the_primary_metric_is_followed_through_the_stages() -> None:
    cohorts = [
        CohortRow("first", "ct", Score(6, {"auc": 0.5})),
        CohortRow("second", "ct", Score(5, {"auc": 0.75})),
    ]
    rows = [CaseRow(stage, "p", "ct", {}) for stage in ("first", "second")]
    (found,) = cohort_sections(HOME, cohorts, {"classification": rows}, ["first", "second"])
    assert found.primary == "AUC"
    assert found.courses == (FigureLine("ct", ("0.500 (6 cases)", "0.750 (5 cases)")),)


def test_what_is_said_of_a_case_is_of_the_latest_stage() -> None:
    (found,) = cohort_sections(HOME, COHORTS, {"survival": ROWS}, ["first", "second"])
    assert found.case_columns == ("risk/death", "days/death")
    assert found.cases == (("p", "ct", "0.250", "400.000"), ("p", "ct+ehr", "undefined", "400.000"))


def test_an_input_that_was_not_scored_says_so() -> None:
    (found,) = cohort_sections(HOME, COHORTS[:1], {"survival": ROWS}, ["first", "second"])
    assert found.courses == (FigureLine("ct+ehr", ("absent",) * 2), FigureLine("ct", ("absent",) * 2))


def test_a_task_whose_metrics_are_of_cases_has_no_cohort() -> None:
    assert cohort_sections(HOME, [], {"segmentation": [CaseRow("s", "p", "ct", {"dice": 0.5})]}, ["s"]) == []


def test_a_task_draws_from_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sections, "PICTURES", {"survival": lambda home, rows: [TaskPicture(f"{len(rows)} at {home}", "", "")]}
    )
    (found,) = cohort_sections(HOME, COHORTS, {"survival": ROWS}, ["first", "second"])
    assert [picture.title for picture in found.pictures] == ["2 at home"]


def test_every_task_of_cohorts_draws() -> None:
    cohorts = {name for name, task in TASKS.items() if any(metric.of == "cohort" for metric in task.metrics)}
    assert set(PICTURES) == cohorts
