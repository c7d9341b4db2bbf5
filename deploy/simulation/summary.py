"""The last lines of a run: scores of every center, forgetting, and where everything lies."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from deploy.simulation.local import center_home
from reporting.formats import number, score
from server.study.directory import StudyDirectory


def print_summary(directory: StudyDirectory, result: Mapping[str, Any], console: Console) -> None:
    """Print the final per-center table and the paths of report and MLflow store."""
    matrices = result["matrices"]
    kind = "synthetic cohort" if result["synthetic"] else result["formed_by"]
    table = Table(Column("center", no_wrap=True), "cases", *matrices)
    for column, center in enumerate(next(iter(matrices.values()))["centers"]):
        last = [{key: matrix[key][-1][column] for key in ("dice", "hd95_mm", "cases")} for matrix in matrices.values()]
        cells = [f"{score(cell['dice'])} / {number(cell['hd95_mm'], '.1f')}" if cell["cases"] else "-" for cell in last]
        table.add_row(center, str(max(cell["cases"] for cell in last)), *cells)
    averages = [score(result["transfer"][name]["average"]) for name in matrices]
    table.add_row("mean of centers", "", *averages, style="bold")
    console.print(f"test cases after the last stage, Dice / HD95 in mm ({kind})")
    console.print(table)
    for name, transfer in result["transfer"].items():
        console.print(f"forgetting {name}: {score(transfer['forgetting'])}")
    failed = sum(bool(record["error"]) for record in result["rounds"])
    console.print(f"rounds without a center's update: {failed} of {len(result['rounds'])}")
    console.print(f"report        {directory.report}")
    for center in result["centers"]:
        console.print(f"center page   {center_home(directory.root, center) / 'report.html'}")
    console.print(f"result        {directory.result}")
    console.print(f"adapter bank  {directory.bank}")
    console.print(f"MLflow        mlflow ui --backend-store-uri sqlite:///{directory.root / 'mlflow.db'}")
