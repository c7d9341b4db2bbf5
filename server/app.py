"""The ServerApp: Flower starts it beside the SuperLink; it reads the run's options and runs the study.

Options are Flower's run config, flat scalars: `flwr run APP CONNECTION -c 'study-directory="/var/lib/concilium/sts"'`.
"""

from collections.abc import Mapping
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp
from pydantic import Field, ValidationError
from rich.console import Console

from server.fleet import Fleet
from server.progress import Display
from server.rounds import run_study
from server.study import read_study
from strategies.errors import StudyError
from strategies.settings import Settings

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
        findings = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise StudyError(f"run options cannot be used: {findings}. Give -c 'study-directory=\"DIR\"'") from error
    if not (options.study_directory / "study.toml").is_file():
        raise StudyError(
            f"study-directory '{options.study_directory}' holds no study.toml; name a study's directory, as the "
            "coordinator's machine sees it"
        )
    return options


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the study named in the options, from its last completed round on; `flwr log` shows a line an answer."""
    directory = read_options(context.run_config).study_directory
    with Display(read_study(directory / "study.toml"), Console()) as display:
        run_study(Fleet(grid), directory, listener=display)
