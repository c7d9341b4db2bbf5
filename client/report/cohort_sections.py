"""What a center's own page says of tasks that answer for cases: the figures of the test cohort, stage by stage.

A cohort is all test cases that were scored from one input. Its figures stand in `cohorts.json`, as they were before any
was withheld; what each case adds to them stands in `scores.json`. What a task draws, it is asked for here.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from client.report.class_pictures import class_pictures
from client.report.survival_pictures import survival_pictures
from client.report.task_rows import CaseRow, CohortRow, TaskPicture
from protocol.messages.scores import Score
from protocol.tasks import TASKS, TaskName
from reporting import formats

Draw = Callable[[Path, Sequence[CaseRow]], Sequence[TaskPicture]]
"""From the center's home, and what the latest stage says of test cases, to what the page shows of a task."""

PICTURES: Mapping[TaskName, Draw] = {"classification": class_pictures, "survival": survival_pictures}
"""What each task draws of the predictions it recorded; a task that is not here draws nothing."""


@dataclass(frozen=True)
class FigureLine:
    """One metric: its name, and for each input the figure with the cases that it stands on."""

    name: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class CohortSection:
    """One task as the page shows it.

    settings: inputs, the columns of `lines`. courses: for each input the primary metric after every stage.
    case_columns: names of what the task says of a case; cases: a row each, case and input first.
    """

    task: str
    settings: tuple[str, ...]
    lines: tuple[FigureLine, ...]
    primary: str
    courses: tuple[FigureLine, ...]
    case_columns: tuple[str, ...]
    cases: tuple[tuple[str, ...], ...]
    pictures: tuple[TaskPicture, ...]
    template: ClassVar[str] = "cohort_section.html"


def cohort_sections(
    home: Path, cohorts: Sequence[CohortRow], rows: Mapping[TaskName, Sequence[CaseRow]], stages: Sequence[str]
) -> list[CohortSection]:
    """A section for each task with scored cases whose metrics are of a cohort.

    Args:
        home: of the center.
        cohorts: all that `cohorts.json` holds.
        rows: of `scores.json`, by task.
        stages: in the order of the study.
    """
    found = [name for name in rows if any(metric.of == "cohort" for metric in TASKS[name].metrics)]
    return [_section(home, name, cohorts, rows[name], stages) for name in found]


def _section(
    home: Path, name: TaskName, cohorts: Sequence[CohortRow], rows: Sequence[CaseRow], stages: Sequence[str]
) -> CohortSection:
    task, latest = TASKS[name], [row for row in rows if row.stage == stages[-1]]
    settings = tuple(formats.in_reading_order(row.modalities for row in rows))
    scores = {(row.stage, row.modalities): row.score for row in cohorts}
    now = [scores.get((stages[-1], setting)) for setting in settings]
    columns = tuple(dict.fromkeys(column for row in latest for column in row.values))
    draw = PICTURES.get(name)
    return CohortSection(
        task=name,
        settings=settings,
        lines=tuple(_lines(name, now)),
        primary=task.metric(task.primary).label,
        courses=tuple(
            FigureLine(setting, tuple(_cell(name, task.primary, scores.get((stage, setting))) for stage in stages))
            for setting in settings
        ),
        case_columns=columns,
        cases=tuple((row.case, row.modalities, *_values(row, columns)) for row in latest),
        pictures=() if draw is None else tuple(draw(home, latest)),
    )


def _lines(name: TaskName, scores: Sequence[Score | None]) -> Iterator[FigureLine]:
    """Every metric of a task that some score holds, in the order of the scores."""
    held = dict.fromkeys(metric for score in scores if score for metric in score.values)
    known = {metric.name for metric in TASKS[name].metrics}
    for metric in held:
        base, _, endpoint = metric.partition("/")
        if base in known:
            label = TASKS[name].metric(metric).label
            cells = tuple(_cell(name, metric, score) for score in scores)
            yield FigureLine(f"{label}, {endpoint}" if endpoint else label, cells)


def _cell(name: TaskName, metric: str, score: Score | None) -> str:
    """A figure and the cases that it stands on."""
    if score is None or metric not in score.values:
        return formats.ABSENT
    row = TASKS[name].metric(metric)
    shown = formats.figure(score.values[metric], row.decimals, row.unit)
    return shown if row.of == "count" else f"{shown} ({score.behind(metric)} cases)"


def _values(row: CaseRow, columns: Sequence[str]) -> Iterator[str]:
    for column in columns:
        yield formats.number(row.values.get(column), ".3f")
