"""The table of tasks and what its names mean."""

import pytest

from protocol.messages.tensors import GROUPS
from protocol.tasks import TASKS, TaskName, metric_named, metric_names


@pytest.mark.parametrize("name", TASKS)
def test_the_primary_metric_lies_in_0_to_1_and_higher_is_better(name: TaskName) -> None:
    primary = TASKS[name].metric(TASKS[name].primary)
    assert (primary.low, primary.high, primary.better) == (0.0, 1.0, "higher")
    assert (TASKS[name].main[0], TASKS[name].main[1].of != "count") == (primary, True)


@pytest.mark.parametrize("name", TASKS)
def test_weights_are_counts_and_groups_exist(name: TaskName) -> None:
    task = TASKS[name]
    assert {task.metric(metric.weight).of for metric in task.metrics if metric.weight} <= {"count"}
    assert set(task.groups) <= set(GROUPS)


def test_no_two_tasks_share_the_name_of_a_metric() -> None:
    names = [metric.name for task in TASKS.values() for metric in task.metrics]
    assert len(set(names)) == len(names)


def test_a_metric_is_found_by_its_name_and_by_that_of_an_endpoint() -> None:
    assert metric_named("hd95_mm").unit == "mm"
    assert metric_named("concordance/death") is TASKS["survival"].metric("concordance")


@pytest.mark.parametrize("name", ["dice/death", "jaccard", ""])
def test_what_is_no_metric_is_refused(name: str) -> None:
    with pytest.raises(KeyError):
        metric_named(name)


def test_the_names_of_a_score_follow_the_endpoints() -> None:
    found = list(metric_names(["segmentation", "survival"], ["death"]))
    assert found[:4] == ["dice", "hd95_mm", "concordance", "concordance/death"]
    assert len(found) == 2 + 2 * 5
