"""The tasks of a study, by the names of the table."""

from client.tasks.building import build_of, build_task, build_tasks
from client.tasks.segmentation import Segmentation
from protocol.messages.settings import Model, StudySettings

SETTINGS = StudySettings(study="s", seed=0, model=Model(name="m"))


def test_the_code_of_a_task_lies_under_its_name() -> None:
    task = build_task("segmentation", SETTINGS)
    assert isinstance(task, Segmentation)
    assert task.name == "segmentation"
    assert build_of("segmentation").__module__ == "client.tasks.segmentation"


def test_a_study_has_the_tasks_of_its_settings() -> None:
    assert [task.name for task in build_tasks(SETTINGS)] == ["segmentation"]
