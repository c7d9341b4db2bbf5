"""Every table with a row for each task has one: a new task without it goes red here, by the name of the table."""

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import get_args

import pytest

from client.cli.check import COLUMNS
from client.data.label_checks import CHECKS
from client.data.manifest import TARGETS
from client.data.preprocessing import SEGMENTATION
from client.data.split import STRATA
from client.learning.assembly import HEAD_OUTPUTS
from client.predict.answers import ANSWERS
from client.report.cohort_sections import PICTURES
from client.report.sections import SECTIONS
from fusion_models.contract import ROLES
from fusion_models.registry import MODELS
from protocol.messages.labels import NEEDED
from protocol.tasks import TASKS, TaskName
from strategies.evaluation.cohort_metrics import COHORT_METRICS

NAMES: tuple[TaskName, ...] = get_args(TaskName)
OF_CASES = [name for name in TASKS if any(metric.of == "case" for metric in TASKS[name].metrics)]
OF_COHORTS = [name for name in TASKS if TASKS[name].metric(TASKS[name].primary).of == "cohort"]
ASKED_OF_EVERY_TASK: Mapping[str, Iterable[str]] = {
    "TASKS in protocol/tasks.py": TASKS,
    "NEEDED in protocol/messages/labels.py": NEEDED,
    "ROLES in fusion_models/contract.py": ROLES,
    "HEAD_OUTPUTS in client/learning/assembly.py": HEAD_OUTPUTS,
    "TARGETS in client/data/manifest.py": TARGETS,
    "COLUMNS in client/cli/check.py": COLUMNS,
    "client/tasks/": [name for name in NAMES if find_spec(f"client.tasks.{name}")],
    "ANSWERS in client/predict/answers.py, and the task with a mask": [*ANSWERS, SEGMENTATION],
    "a row's tasks in fusion_models/registry.py": {task for row in MODELS.values() for task in row.tasks},
}
ASKED_OF_SOME: Mapping[str, Iterable[str]] = {
    "STRATA in client/data/split.py": STRATA,
    "CHECKS in client/data/label_checks.py": CHECKS,
    "PICTURES in client/report/cohort_sections.py": PICTURES,
    "SECTIONS in client/report/sections.py": SECTIONS,
}


@pytest.mark.parametrize("table", ASKED_OF_EVERY_TASK)
def test_a_table_that_every_task_needs_has_each_and_no_other(table: str) -> None:
    assert set(ASKED_OF_EVERY_TASK[table]) == set(NAMES)


@pytest.mark.parametrize("table", ASKED_OF_SOME)
def test_a_table_that_some_tasks_need_names_nothing_else(table: str) -> None:
    assert set(ASKED_OF_SOME[table]) <= set(NAMES)


@pytest.mark.parametrize("name", OF_COHORTS)
def test_a_primary_metric_of_a_cohort_can_be_resampled(name: TaskName) -> None:
    """`COHORT_METRICS` in strategies/evaluation/cohort_metrics.py."""
    assert TASKS[name].primary in COHORT_METRICS


@pytest.mark.parametrize("name", OF_CASES)
def test_metrics_of_cases_have_a_section(name: TaskName) -> None:
    """`SECTIONS` in client/report/sections.py."""
    assert name in SECTIONS


@pytest.mark.parametrize("name", NAMES)
def test_every_task_says_what_of_it_may_be_undefined(name: TaskName) -> None:
    assert TASKS[name].undefined_as
