"""From a study's settings to its tasks: the code of a task is found under its name in the table."""

from collections.abc import Callable
from importlib import import_module

from client.tasks.contract import CenterTask
from protocol.messages.recipe import PLAIN, Recipe
from protocol.messages.settings import StudySettings
from protocol.tasks import TaskName

Build = Callable[[StudySettings, Recipe], CenterTask]


def build_task(name: TaskName, settings: StudySettings, recipe: Recipe = PLAIN) -> CenterTask:
    """A task as a study asks for it; `recipe` says how it trains, and nothing else of it."""
    return build_of(name)(settings, recipe)


def build_tasks(settings: StudySettings) -> tuple[CenterTask, ...]:
    """All tasks of a study, in the order of its settings."""
    return tuple(build_task(name, settings) for name in settings.tasks)


def build_of(name: TaskName) -> Build:
    """`build` of the module of a task's name."""
    build: Build = import_module(f"client.tasks.{name}").build
    return build
