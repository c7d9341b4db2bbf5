"""What a task answers for a scan as a whole, in words and numbers for a record: a line a task that has no mask."""

from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from protocol.errors import ModelError
from protocol.messages.settings import StudySettings
from protocol.tasks import TaskName


def describe_answer(task: TaskName, prediction: NDArray[Any], settings: StudySettings) -> dict[str, Any]:
    """The prediction of a task, by what the study calls its values.

    Raises:
        ModelError: the task's answer is a mask.
    """
    if task not in ANSWERS:
        raise ModelError(f"task '{task}' answers with a mask, which has files of its own")
    return ANSWERS[task](prediction, settings)


def _classes(prediction: NDArray[Any], settings: StudySettings) -> dict[str, Any]:
    """Probability of each class."""
    values = settings.labels.classes.values if settings.labels.classes else ()
    return {"probability": {value: float(p) for value, p in zip(values, prediction, strict=True)}}


def _endpoints(prediction: NDArray[Any], settings: StudySettings) -> dict[str, Any]:
    """Risk of each endpoint, and the probability of being free of it at the study's edges, in days."""
    edges_days = settings.labels.survival.edges_days
    return {
        name: {
            "risk": float(row[0]),
            "event_free": [
                {"days": days, "probability": float(p)} for days, p in zip(edges_days, row[1:], strict=True)
            ],
        }
        for name, row in zip(settings.labels.endpoints, prediction, strict=True)
    }


def _fused(prediction: NDArray[Any], _settings: StudySettings) -> dict[str, Any]:
    """Mean and range of the fused image; the image itself is written by the command that fuses."""
    return {
        "mean": float(prediction.mean()),
        "lowest": float(prediction.min()),
        "highest": float(prediction.max()),
        "voxels_zyx": list(prediction.shape),
    }


ANSWERS: Mapping[TaskName, Callable[[NDArray[Any], StudySettings], dict[str, Any]]] = {
    "classification": _classes,
    "survival": _endpoints,
    "fusion": _fused,
}
"""Task -> its answer for a record; a task with a mask has none."""
