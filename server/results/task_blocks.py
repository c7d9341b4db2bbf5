"""What the report shows of each task: heat maps of its primary metric, and every other figure as a table."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from protocol.tasks import TASKS, Metric, Task, TaskName
from reporting.formats import figure, in_reading_order
from reporting.tints import Tint, tint
from server.results.cell_states import WORDS, MeanOfRow, cell_state, failures_of, mean_of_last_row, why_without
from server.results.charts import gradient, tenths_around

Table = Mapping[str, Any]
Failures = Mapping[tuple[str, str], str]


@dataclass(frozen=True)
class Cell:
    """One cell of a heat map; `tint` is None where there is no score, and `why` says then more than the word in it."""

    text: str
    tint: Tint | None
    trained: bool
    cases: int
    undefined: int
    why: str = ""
    value: float | None = None


@dataclass(frozen=True)
class FigureTable:
    """Figures as a table: what they are, the names of its columns, and rows (name, one text a column)."""

    label: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class TaskBlock:
    """One task of a study, under the modality settings it was scored under.

    label, decimals: of the primary metric. low, high, gradient: of the colour scale. heat_maps, tables, transfer: by
    setting; the last are entries of `result.json`. means: setting -> what its last average stands on. weighed_by: the
    counts that weigh metrics over centers, or "". left_out: setting -> cases that each metric of `left_out_of` does not
    stand on, and cells without the primary one.
    """

    task: TaskName
    label: str
    decimals: int
    settings: tuple[str, ...]
    low: float
    high: float
    gradient: str
    heat_maps: Mapping[str, list[tuple[str, list[Cell]]]]
    tables: Mapping[str, list[FigureTable]]
    transfer: Mapping[str, Table]
    means: Mapping[str, MeanOfRow]
    weighed_by: str
    left_out_of: tuple[str, ...]
    left_out: Mapping[str, tuple[int, ...]]


def task_blocks(study: Table) -> list[TaskBlock]:
    """Every task of `result.json`, the first one first."""
    return [_block(study, task) for task in study["tasks"]]


def primary(task: TaskName) -> Metric:
    """The row of a task's primary metric."""
    return TASKS[task].metric(TASKS[task].primary)


def _block(study: Table, task: TaskName) -> TaskBlock:
    row, main, matrices, settings = TASKS[task], primary(task), study["matrices"], _settings_of(study, task)
    values = [value for setting in settings for cells in matrices[setting][main.name] for value in cells]
    low, high = tenths_around(values)
    counted, failures = [metric for metric in row.metrics if metric.of != "count"], failures_of(study)
    return TaskBlock(
        task=task,
        label=main.label,
        decimals=main.decimals,
        settings=tuple(settings),
        low=low,
        high=high,
        gradient=gradient(low, high),
        heat_maps={setting: _heat_map(study, setting, task, low, high) for setting in settings},
        tables={
            setting: [*_tables(matrices[setting], row, failures), *_over_centers(matrices[setting], row)]
            for setting in settings
        },
        means={setting: mean_of_last_row(matrices[setting], failures, main.name) for setting in settings},
        transfer=study["transfer_of_other_tasks"].get(task, study["transfer"]),
        weighed_by=" and ".join(dict.fromkeys(row.metric(m.weight).label for m in row.metrics if m.weight)),
        left_out_of=tuple(metric.label for metric in counted),
        left_out={setting: _left_out(study, setting, counted, main) for setting in settings},
    )


def _left_out(study: Table, setting: str, metrics: Sequence[Metric], main: Metric) -> tuple[int, ...]:
    cells = sum(value is None for row in study["matrices"][setting][main.name] for value in row)
    return (*(study["undefined"][setting][metric.name] for metric in metrics), cells)


def _settings_of(study: Table, task: TaskName) -> list[str]:
    """The settings under which a task has a figure; all where it has none, or is the only one."""
    matrices = study["matrices"]
    names = [metric.name for metric in TASKS[task].metrics]
    scored = [
        setting
        for setting, matrix in matrices.items()
        if any(value is not None for name in names for cells in matrix[name] for value in cells)
    ]
    return in_reading_order(scored if scored and len(study["tasks"]) > 1 else matrices)


def _heat_map(study: Table, setting: str, task: TaskName, low: float, high: float) -> list[tuple[str, list[Cell]]]:
    """Rows (stage, cells in center order) of a task's primary metric."""
    matrix, metric, failures = study["matrices"][setting], primary(task), failures_of(study)
    trained = {stage["name"]: set(stage["centers"]) for stage in study["stages"] if stage["task"] == task}
    return [
        (
            stage,
            [
                Cell(
                    text=_cell_text(matrix, metric, metric.name, failures, row, column),
                    tint=None if value is None else tint(value, low, high),
                    trained=center in trained.get(stage, ()),
                    cases=matrix["cases"][row][column] or 0,
                    undefined=matrix["undefined"][metric.name][row][column] or 0,
                    why=why_without(matrix, failures, metric.name, row, column),
                    value=value,
                )
                for column, (center, value) in enumerate(zip(matrix["centers"], matrix[metric.name][row], strict=True))
            ],
        )
        for row, stage in enumerate(matrix["stages"])
    ]


def _tables(matrix: Table, task: Task, failures: Failures) -> Iterator[FigureTable]:
    """Every metric but the primary one, each with its endpoints below it; of the primary one, its endpoints."""
    columns = range(len(matrix["centers"]))
    for metric in task.metrics:
        names = [name for name in _forms(matrix, metric) if name != task.primary]
        if names:
            rows = tuple(
                (
                    _row_name(stage, name),
                    tuple(_cell_text(matrix, metric, name, failures, row, column) for column in columns),
                )
                for name in names
                for row, stage in enumerate(matrix["stages"])
            )
            yield FigureTable(metric.label, tuple(matrix["centers"]), rows)


def _cell_text(matrix: Table, metric: Metric, name: str, failures: Failures, row: int, column: int) -> str:
    """A figure with its unit, or the word in its place."""
    state = cell_state(matrix, failures, name, row, column)
    return WORDS.get(state) or _text(metric, matrix[name][row][column])


def _over_centers(matrix: Table, task: Task) -> Iterator[FigureTable]:
    """The metrics that are weighed over centers, over all of them, with their endpoints below them."""
    metrics = [metric for metric in task.metrics if metric.weight]
    forms = [tuple(_forms(matrix, metric)) for metric in metrics]
    if forms:
        rows = tuple(
            (
                _row_name(stage, names[0]),
                tuple(
                    _text(metric, matrix["over_centers"][name][row])
                    for metric, name in zip(metrics, names, strict=True)
                ),
            )
            for names in zip(*forms, strict=True)
            for row, stage in enumerate(matrix["stages"])
        )
        yield FigureTable("over centers", tuple(metric.label for metric in metrics), rows)


def _forms(matrix: Table, metric: Metric) -> Iterator[str]:
    """The names under which a metric stands in a matrix: its own, and those of its endpoints."""
    return (name for name in matrix["undefined"] if name.partition("/")[0] == metric.name)


def _text(metric: Metric, value: float | None) -> str:
    return figure(value, metric.decimals, metric.unit)


def _row_name(stage: str, name: str) -> str:
    endpoint = name.partition("/")[2]
    return f"{stage}, {endpoint}" if endpoint else stage
