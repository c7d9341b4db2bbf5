"""What a center remembers of its test cases, as its own page reads it (`client.scores.score_log` writes it)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client.scores.score_rows import read_rows as read_recorded
from protocol.errors import CaseError
from protocol.messages.scores import Score
from protocol.modalities import parts_of
from protocol.tasks import TaskName
from reporting import formats

FACTS = frozenset({"part", "stage", "task", "case", "modalities"})
SEGMENTATION: TaskName = "segmentation"


@dataclass(frozen=True)
class CaseRow:
    """What a task says of one test case after one stage, from one input."""

    stage: str
    case: str
    modalities: str
    values: Mapping[str, float | None]


@dataclass(frozen=True)
class CohortRow:
    """The figures of all test cases after one stage, from one input."""

    stage: str
    modalities: str
    score: Score


@dataclass(frozen=True)
class TaskPicture:
    """A picture of a cohort or a case; `png` (base64) is empty and `problem` says why where it could not be drawn."""

    title: str
    caption: str
    png: str
    problem: str = ""


def fullest_inputs(rows: Iterable[CaseRow]) -> list[str]:
    """The inputs that no other contains: a case's stored prediction is from the fullest that it has.

    Of one of these, stored predictions and the figures of the cohort are of the same cases.
    """
    found = dict.fromkeys(row.modalities for row in rows)
    return formats.in_reading_order(one for one in found if not any(parts_of(one) < parts_of(other) for other in found))


def read_rows(path: Path) -> dict[TaskName, list[CaseRow]]:
    """What each task says of test cases, in the order in which it was said; none when nothing was scored yet.

    Raises:
        CaseError: the file is not the list the trainer writes.
    """
    try:
        rows = [row for row in read_recorded(path) if row["part"] == "test"]
        tasks = dict.fromkeys(row.get("task", SEGMENTATION) for row in rows)
        return {task: [_case_row(row) for row in rows if row.get("task", SEGMENTATION) == task] for task in tasks}
    except (ValueError, TypeError, KeyError) as error:
        raise CaseError(f"scores {path} cannot be read ({error!r}); evaluate again to replace them") from error


def read_cohorts(path: Path) -> tuple[CohortRow, ...]:
    """Figures in the order in which they were made; none when nothing was scored yet.

    Raises:
        CaseError: the file is not the list the trainer writes.
    """
    try:
        return tuple(
            CohortRow(row["stage"], row["modalities"], Score(row["cases"], row["values"], row["undefined"]))
            for row in read_recorded(path)
        )
    except (ValueError, TypeError, KeyError) as error:
        raise CaseError(f"figures {path} cannot be read ({error!r}); evaluate again to replace them") from error


def _case_row(row: Mapping[str, Any]) -> CaseRow:
    values = {key: value for key, value in row.items() if key not in FACTS}
    return CaseRow(row["stage"], row["case"], row["modalities"], values)
