"""The tasks of a study, by the names of the table."""

import numpy as np
import pytest
import torch

from client.data.preprocessing import PreparedCase
from client.tasks.building import build_of, build_task, build_tasks
from client.tasks.segmentation import Segmentation
from protocol.messages.recipe import PLAIN, Augmentation, Recipe
from protocol.messages.settings import Model, StudySettings
from protocol.tasks import TaskName

SETTINGS = StudySettings(study="s", seed=0, model=Model(name="m"))
LABELLED = StudySettings.model_validate(
    {
        "study": "s",
        "seed": 0,
        "model": {"name": "ehr-survival-linear-tiny"},
        "preprocessing": {"crop_zyx": (4, 4, 4)},
        "labels": {
            "classes": {"column": "subtype", "values": ("adc", "sqc")},
            "endpoints": {"death": {"event": "e", "time": "t", "unit": "days"}},
            "survival": {"edges_days": (10.0, 100.0)},
        },
    }
)


def test_the_code_of_a_task_lies_under_its_name() -> None:
    task = build_task("segmentation", SETTINGS)
    assert isinstance(task, Segmentation)
    assert task.name == "segmentation"
    assert build_of("segmentation").__module__ == "client.tasks.segmentation"


def test_a_study_has_the_tasks_of_its_settings() -> None:
    assert [task.name for task in build_tasks(SETTINGS)] == ["segmentation"]


@pytest.mark.parametrize("name", ["segmentation", "classification", "survival", "fusion"])
def test_every_task_varies_its_training_crops_as_the_recipe_asks(name: TaskName) -> None:
    """The recipe outlives the fit to a center's cases; a crop raised to a power of its own is another one."""
    ct = np.random.default_rng(0).random((6, 6, 6), dtype=np.float32)
    shared = {"segmentation": (ct > 0.5).astype(np.uint8), "survival": np.array([[30.0, 1.0]])}
    cases = [PreparedCase(f"p{k}", ct, None, {**shared, "classification": np.array(k)}) for k in (0, 1)]
    shown = []
    for recipe in (PLAIN, Recipe(augmentation=Augmentation(gamma=1))):
        task = build_task(name, LABELLED, recipe).fitted_to(cases)
        shown.append(task.draw_batch(cases, "ct", 2, torch.device("cpu"), np.random.default_rng(3)).ct)
    assert shown[0] is not None
    assert shown[1] is not None
    assert not torch.equal(*shown)  # type: ignore[arg-type]
