"""The ServerApp: Flower starts it beside the SuperLink; it reads the run's options and runs the study.

Options are Flower's run config, flat scalars: `flwr run APP CONNECTION -c 'study-directory="/var/lib/concilium/sts"'`.
The environment may name an MLflow server: MLFLOW_TRACKING_URI.

A stop (`flwr stop`, SIGTERM, a coordinator that went away) reaches this process as Flower's own exit, which lets 5 s
pass and then ends it whatever it does. The progress file is told first, then the outputs are written as far as they
come; the checkpoint is that of the last completed round in any case.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp
from pydantic import Field, ValidationError
from rich.console import Console

from protocol.errors import StudyError
from protocol.flower_internals import add_exit_handler
from protocol.messages.base import Settings
from protocol.messages.settings import findings
from server.grid.center_grid import CenterGrid
from server.grid.pace import Pace
from server.grid.pulling import pull_apart
from server.rounds.running import run_study
from server.runs.progress_file import ProgressFile
from server.runs.state_files import read_not_agreed, read_turned_away
from server.study.directory import StudyDirectory
from server.study.display import Display
from server.study.events import tell_all
from server.study.file import read_study

TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"

app = ServerApp()


class RunOptions(Settings):
    """What a run may be told."""

    study_directory: Path = Field(alias="study-directory")


def read_options(run_config: Mapping[str, bool | int | float | str]) -> RunOptions:
    """Parse the run config.

    Raises:
        StudyError: an option is missing, unknown or has a wrong value, or the directory holds no study.
    """
    try:
        options = RunOptions.model_validate(run_config)
    except ValidationError as error:
        found = "; ".join(findings(error, "options"))
        raise StudyError(f"run options cannot be used: {found}. Give -c 'study-directory=\"DIR\"'") from error
    if not (options.study_directory / "study.toml").is_file():
        raise StudyError(
            f"study-directory '{options.study_directory}' holds no study.toml; name a study's directory, as the "
            "coordinator's machine sees it"
        )
    return options


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the study named in the options, from its last completed round on; `concilium log` shows a line an answer."""
    directory = StudyDirectory(read_options(context.run_config).study_directory)
    run_here(grid, directory, str(context.run_id), os.environ.get(TRACKING_VARIABLE) or None)


def run_here(grid: Grid, directory: StudyDirectory, run_id: str, tracking_uri: str | None) -> None:
    """Run a study over a network: lost centers are waited for, and `progress.json` says where the run is.

    Where the study names no deadline, centers are waited for by their own pace. A center that the registry turns away
    is neither asked nor waited for.

    Args:
        grid: the way to the centers' nodes.
        directory: of the study.
        run_id: Flower's number of the run.
        tracking_uri: of an MLflow server; None keeps the tracking in the study's directory.

    Raises:
        ConciliumError: as `run_study`.
    """
    study = read_study(directory.study_file)
    pace = Pace(directory.pace, study.reconnect_s) if study.deadline_s is None else None
    center_grid = CenterGrid(grid, patience_s=study.reconnect_s, pull=pull_apart, pace=pace)
    with ProgressFile(directory, study, run_id) as progress, Display(study, Console()) as display:
        add_exit_handler(progress.interrupt, run_before_force_exit=True)
        run_study(
            center_grid,
            directory.root,
            listen=tell_all(progress.listen, display.listen),
            tracking_uri=tracking_uri,
            turned_away=lambda: read_turned_away(directory),
            not_agreed=lambda: read_not_agreed(directory),
        )
