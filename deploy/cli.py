"""The `concilium` command: the coordinator's commands, and those that bring both sides together on one machine."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from server.cli import app

NOBODY_IS_CALLED = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
}


@app.command("simulate")
def simulate_command(
    study: Annotated[Path, typer.Option(help="The study file.")],
    out: Annotated[Path, typer.Option(help="Where the results go.")],
    data: Annotated[Path | None, typer.Option(help="Folder with one folder per center.")] = None,
    synthetic: Annotated[bool, typer.Option("--synthetic", help="Make a synthetic cohort and run on it.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue after the last completed round.")] = False,
    engine: Annotated[str, typer.Option(help='"in-process", or "ray" for Flower\'s simulation engine.')] = "in-process",
    device: Annotated[str, typer.Option(help='"cpu", "cuda" or "auto".')] = "auto",
) -> None:
    """Run a whole federated continual study on this machine."""
    if (data is None) != synthetic:
        raise typer.BadParameter("give either --data DIR or --synthetic")
    for name, value in NOBODY_IS_CALLED.items():
        os.environ.setdefault(name, value)
    from deploy.local import simulate
    from deploy.summary import print_summary

    console = Console()
    folder = data or synthetic_cohort(out / "synthetic-cohort", console)
    directory = simulate(study, folder, out, engine=engine, device=device, resume=resume, console=console)
    print_summary(directory, json.loads(directory.result.read_text()), console)


def synthetic_cohort(root: Path, console: Console) -> Path:
    """The synthetic cohort under `root`, made where it is not there yet."""
    from client.data.synthetic import write_synthetic_cohort

    if not (root / "README.txt").exists():
        with console.status("making the synthetic cohort"):
            write_synthetic_cohort(root, seed=0)
    return root


def main() -> None:
    """Entry point of the console script."""
    app()
