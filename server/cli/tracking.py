"""The coordinator's commands about MLflow: who may see a study there, and sending what an outage kept away."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()

VARIABLE = "MLFLOW_TRACKING_URI"
Server = Annotated[str, typer.Option(envvar=VARIABLE, help="Address of the MLflow server.")]


@app.command("track")
def track_command(
    root: Annotated[Path, typer.Argument(help="The study's directory.")],
    server: Server = "",
) -> None:
    """Send a study that is finished or stopped to MLflow; what is there already stays as it is."""
    from server.tracking.replay import replay

    tracker = replay(root, server or None)
    typer.echo(f"{root}: MLflow at {tracker.uri} has everything, {len(tracker.run_ids)} runs")


@app.command("mlflow-user")
def mlflow_user_command(
    root: Annotated[Path, typer.Option("--study", help="The study's directory.")],
    center: Annotated[str, typer.Argument(help="Center that may read its own numbers and adapter.")] = "",
    writer: Annotated[str, typer.Option(help="In place of a center: user under whom the coordinator writes.")] = "",
    server: Server = "",
) -> None:
    """Make a user in MLflow who sees what is its own; the password goes to a file and is not shown.

    The administrator's name and password come from MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or from
    MLflow's own file of credentials.
    """
    if bool(center) == bool(writer):
        raise typer.BadParameter("give either a CENTER or --writer NAME")
    if not server:
        raise typer.BadParameter(f"name the MLflow server with --server or {VARIABLE}")
    from server.study.directory import StudyDirectory
    from server.study.file import read_study
    from server.tracking.tracker import store_of
    from server.tracking.users import grant_center, grant_writer

    directory = StudyDirectory(root)
    study, file = read_study(directory.study_file), directory.passwords / f"{center or writer}.password"
    grant = grant_center if center else grant_writer
    account = grant(store_of(root, server), study, center or writer, file)
    typer.echo(f"user '{account.name}': password in {account.password_file} ({account.password}), permissions granted")
