"""The last lines of a run: scores of every center, forgetting, and where everything lies."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from deploy.simulation.local import center_home
from protocol.tasks import TASKS, Metric, TaskName
from reporting.formats import WITHHELD, figure, heading
from server.results.cell_states import WORDS, cell_state, failures_of, mean_of_last_row
from server.study.directory import StudyDirectory

Failures = Mapping[tuple[str, str], str]


def print_summary(directory: StudyDirectory, result: Mapping[str, Any], console: Console) -> None:
    """Print the final per-center tables and the paths of report and MLflow store."""
    kind = "synthetic cohort" if result["synthetic"] else result["formed_by"]
    for task in result["tasks"]:
        transfers = _transfers(result, task)
        shown = heading((metric.label, metric.unit) for metric in TASKS[task].main)
        console.print(f"test cases after the last stage, {shown} ({kind})")
        console.print(_table(result, transfers, task))
        for line in _warnings(result, task):
            console.print(line)
        for line in _forgetting(transfers, task, len(result["tasks"])):
            console.print(line)
    failed = sum(bool(record["error"]) for record in result["rounds"])
    console.print(f"rounds without a center's update: {failed} of {len(result['rounds'])}")
    console.print(f"report        {directory.report}")
    for center in result["centers"]:
        console.print(f"center page   {center_home(directory.root, center) / 'report.html'}")
    console.print(f"result        {directory.result}")
    console.print(f"adapter bank  {directory.bank}")
    console.print(f"MLflow        mlflow ui --backend-store-uri sqlite:///{directory.root / 'mlflow.db'}")


def _transfers(result: Mapping[str, Any], task: TaskName) -> Mapping[str, Any]:
    found: Mapping[str, Any] = result["transfer_of_other_tasks"].get(task, result["transfer"])
    return found


def _table(result: Mapping[str, Any], transfers: Mapping[str, Any], task: TaskName) -> Table:
    """The main metrics of every center after the last stage, and the mean of the primary one."""
    matrices, metrics, failures = result["matrices"], TASKS[task].main, failures_of(result)
    table = Table(Column("center", no_wrap=True), "cases", *matrices)
    for column, center in enumerate(next(iter(matrices.values()))["centers"]):
        cases = [matrix["cases"][-1][column] for matrix in matrices.values()]
        cells = (_cell(matrix, failures, column, metrics) for matrix in matrices.values())
        table.add_row(center, str(max(cases)), *cells)
    if any("spread" in transfer.get("suppressed", ()) for transfer in transfers.values()):
        return table
    primary = metrics[0]
    averages = [
        mean_of_last_row(matrix, failures, primary.name).text(transfers[name]["average"], primary.decimals)
        for name, matrix in matrices.items()
    ]
    table.add_row("mean of centers", "", *averages, style="bold")
    return table


def _cell(matrix: Mapping[str, Any], failures: Failures, column: int, metrics: Sequence[Metric]) -> str:
    """The main figures of a center; one word where the same is true of all."""
    last = len(matrix["stages"]) - 1
    states = [cell_state(matrix, failures, metric.name, last, column) for metric in metrics]
    texts = [
        WORDS.get(state) or figure(matrix[metric.name][last][column], metric.decimals)
        for state, metric in zip(states, metrics, strict=True)
    ]
    return texts[0] if set(states) in ({"withheld"}, {"failed"}, {"absent"}) else " / ".join(texts)


def _warnings(result: Mapping[str, Any], task: TaskName) -> Iterator[str]:
    """What makes a mean less than it seems."""
    for name, matrix in result["matrices"].items():
        mean = mean_of_last_row(matrix, failures_of(result), TASKS[task].main[0].name)
        if mean.warning:
            yield f"! mean of centers, {name}: {mean.warning}"


def _forgetting(transfers: Mapping[str, Any], task: TaskName, tasks: int) -> Iterator[str]:
    """One line a modality setting, with the metric where a study has several tasks."""
    primary = TASKS[task].main[0]
    what = f"forgetting, {primary.label}," if tasks > 1 else "forgetting"
    for setting, transfer in transfers.items():
        is_held = "forgetting" in transfer.get("suppressed", ())
        yield f"{what} {setting}: {WITHHELD if is_held else figure(transfer['forgetting'], primary.decimals)}"
