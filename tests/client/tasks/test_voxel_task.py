"""What tasks that answer for every voxel share, shown by both: crops of the grid, and figures of cases."""

from typing import Any

import numpy as np
import pytest
import torch

from client.data.preprocessing import PreparedCase
from client.tasks.contract import CaseScore
from client.tasks.fusion import Fusion
from client.tasks.segmentation import Segmentation
from client.tasks.voxel_task import VoxelTask
from protocol.messages.settings import Preprocessing
from protocol.tasks import TASKS

GRID = Preprocessing(crop_zyx=(4, 6, 2), spacing_zyx_mm=(3.0, 2.0, 2.0))
CPU = torch.device("cpu")
CT, PET = np.random.default_rng(0).random((2, 12, 12, 12), dtype=np.float32)
CASE = PreparedCase("p", CT, PET)
BOTH = pytest.mark.parametrize("task", [Segmentation(GRID), Fusion(GRID)], ids=lambda task: task.name)


def rows(task: VoxelTask, values: dict[str, float | None]) -> dict[str, CaseScore]:
    rest: dict[str, Any] = dict.fromkeys((metric.name for metric in TASKS[task.name].metrics), None)
    return {name: CaseScore(name, "ct", {**rest, TASKS[task.name].primary: value}) for name, value in values.items()}


@BOTH
def test_crops_are_of_the_grid_and_drawn_anew_while_passes_are_under_every_setting(task: VoxelTask) -> None:
    rng = np.random.default_rng(0)
    first, second = (task.draw_batch([CASE], "ct", 3, CPU, rng).ct for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.shape == (3, 1, 4, 6, 2)
    assert not torch.equal(first, second)
    seen = task.passes(CASE, ["ct", "ct+pet"], CPU, rng)
    assert {batch.setting for batch in seen} == {"ct", "ct+pet"}
    assert {batch.ct.shape[2:] for batch in seen if batch.ct is not None} == {(4, 6, 2)}


@BOTH
def test_the_summary_is_the_mean_over_cases_that_have_the_figure(task: VoxelTask) -> None:
    summary = task.summarise(list(rows(task, {"a": 0.25, "b": 0.75, "c": None}).values()))
    assert summary.values[TASKS[task.name].primary] == pytest.approx(0.5)


@BOTH
def test_two_networks_are_compared_by_the_primary_metric_of_the_same_cases(task: VoxelTask) -> None:
    new, old = rows(task, {"a": 0.5, "b": 0.75}), rows(task, {"a": 0.25, "b": 0.25})
    found = task.compare(new, old, np.random.default_rng(0))
    assert found.difference == pytest.approx(0.375)


@BOTH
def test_no_case_has_an_outcome_to_conceal(task: VoxelTask) -> None:
    row = rows(task, {"a": 0.5})["a"]
    assert task.outcomes(row) == frozenset()
    assert task.conceal(row, ["a"]) is row
    assert task.fitted_to([CASE]) is task
