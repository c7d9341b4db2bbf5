"""Scores of a version on test cases, by center and modality setting, as `result.json` has them.

A row of a matrix is what each center is served after a stage. That is the shared version made at its end, unless the
center was left with a branch of its own by a gate, or has tensors of its own beside the shared ones; the state of each
figure says so. Scores of single cases never leave a center, so no figure here has an interval.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from protocol.tasks import TASKS, Metric, TaskName
from reporting.formats import in_reading_order
from server.results.cell_states import cell_state, failures_of
from strategies.bank.bank import SHARED
from strategies.bank.entry import Entry

Table = Mapping[str, Any]
State = Literal["of-this-version", "of-what-the-center-keeps", "withheld", "failed", "undefined", "not-scored"]
NO_INTERVAL = (
    "No figure has an interval: means leave a center, scores of single cases do not. A comparison by "
    "concilium benchmark gives intervals where all scores are on one machine."
)


@dataclass(frozen=True)
class _Cell:
    """A figure of a center: its value, over how many cases, for how many undefined, and why it has none."""

    value: float | None = None
    cases: int = 0
    undefined: int = 0
    is_withheld: bool = False
    has_failed: bool = False


def scores_of(result: Table, entry: Entry) -> list[dict[str, Any]]:
    """A row for each task, setting, metric and center that the version is answerable for.

    Args:
        result: `result.json`.
        entry: the version.
    """
    if entry.provenance:
        return list(_trained_alone(result, entry))
    return [
        row
        for task in result["tasks"]
        for setting in in_reading_order(result["matrices"])
        for row in _of_setting(result, entry, task, setting)
    ]


def centers_with_their_own(result: Table, stage: str) -> set[str]:
    """The centers that are served something else than the shared version after a stage.

    A branch is given up where a later candidate is promoted that its center finds no worse.
    """
    gate, own = result["strategy"]["gate"], set[str]()
    for verdict in result["gates"]:
        left = {*verdict["branches"], *verdict["kept"]}
        if verdict["promoted"] and gate:
            content = {name for name, value in verdict["differences"].items() if value >= -gate["tolerance"]}
            own -= content
        own |= left
        if verdict["stage"] == stage:
            break
    return own


def _of_setting(result: Table, entry: Entry, task: TaskName, setting: str) -> Iterator[dict[str, Any]]:
    matrix, own = result["matrices"][setting], centers_with_their_own(result, entry.stage)
    failures = failures_of(result)
    for metric in TASKS[task].metrics:
        for column, center in enumerate(matrix["centers"]):
            if entry.name in {SHARED, center}:
                cell = _cell(matrix, failures, metric.name, entry.stage, column)
                is_own = entry.name == SHARED and center in own
                yield _row(task, setting, metric, center, cell, is_own=is_own)


def _cell(matrix: Table, failures: Mapping[tuple[str, str], str], metric: str, stage: str, column: int) -> _Cell:
    """The figure of a center after a stage; a stage that was not scored has none.

    Results of earlier versions do not say what is held back.
    """
    if stage not in matrix["stages"] or metric not in matrix:
        return _Cell()
    row = matrix["stages"].index(stage)
    undefined, state = matrix["undefined"].get(metric), cell_state(matrix, failures, metric, row, column)
    return _Cell(
        matrix[metric][row][column],
        matrix["cases"][row][column],
        undefined[row][column] if undefined else 0,
        is_withheld=state == "withheld",
        has_failed=state == "failed",
    )


def _row(task: TaskName, setting: str, metric: Metric, center: str, cell: _Cell, *, is_own: bool) -> dict[str, Any]:
    shown = {name: getattr(metric, name) for name in ("label", "unit", "better", "decimals")}
    found = {"value": cell.value, "interval": None, "cases": cell.cases, "undefined_cases": cell.undefined}
    state = _state(cell, is_own=is_own)
    return {"task": task, "setting": setting, "metric": metric.name, **shown, "center": center, **found, "state": state}


def _state(cell: _Cell, *, is_own: bool) -> State:
    """A setting that is held back whole has no cases either, and was scored all the same."""
    if cell.is_withheld:
        return "withheld"
    if cell.has_failed:
        return "failed"
    if not cell.cases:
        return "not-scored"
    if cell.value is None:
        return "undefined"
    return "of-what-the-center-keeps" if is_own else "of-this-version"


def _trained_alone(result: Table, entry: Entry) -> Iterator[dict[str, Any]]:
    """Of what a center trained alone the result has one figure on test cases."""
    task = result["tasks"][0]
    for service in result["service"]:
        if service["center"] == entry.name and (test := service["test"]) is not None:
            cell = _Cell(test["alone"], test["cases"])
            metric = TASKS[task].metric(TASKS[task].primary)
            yield _row(task, test["setting"], metric, entry.name, cell, is_own=False)
