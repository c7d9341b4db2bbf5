"""The coordinator's commands for a study that runs over a network: launch, resume, stop, status, watchdog."""

import json
import signal
import threading
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live

from server.cli.console import log_to_stderr, wide_console
from server.study.directory import StudyDirectory
from server.tls.authority import utc_now

app = typer.Typer()

Root = Annotated[Path, typer.Argument(help="The coordinator's directory, made by `concilium study init`.")]
Accepted = Annotated[
    str,
    typer.Option(help="SHA-256 of this installation's bundle, where all centers accepted it after their kits."),
]
Patience = Annotated[float, typer.Option(min=0, help="Seconds to wait for a SuperExec to take the run.")]


@app.command("launch")
def launch_command(root: Root, patience_s: Patience = 60, accepted_bundle: Accepted = "") -> None:
    """Start a study with the enrolled centers; it then runs by itself, and the watchdog keeps it running."""
    _start(StudyDirectory(root), patience_s, accepted_bundle)


@app.command("resume")
def resume_command(root: Root, patience_s: Patience = 60, accepted_bundle: Accepted = "") -> None:
    """Go on with a study that was stopped or has failed, after its last completed round."""
    from protocol.errors import LaunchError
    from server.runs.state_files import read_launch

    if read_launch(StudyDirectory(root)) is None:
        raise LaunchError(f"the study in {root} was never launched; begin it with `concilium launch {root}`")
    _start(StudyDirectory(root), patience_s, accepted_bundle)


@app.command("stop")
def stop_command(root: Root) -> None:
    """Stop a study after its last completed round, and free the centers' GPUs."""
    from server.runs.launch import stop
    from server.superlink.control import connect_to

    directory = StudyDirectory(root)
    with connect_to(directory) as control:
        active = stop(directory, control)
    if active:
        typer.echo(f"run {', '.join(active)} is stopped, and no process holds the study any more")
        typer.echo("centers cancel their work within about ten seconds; their updates of this round are not used")
    else:
        typer.echo("no run was active; the study is not started again")
    typer.echo(f"go on after the last completed round with `concilium resume {root}`")


@app.command("status")
def status_command(
    root: Root,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Until interrupted, every two seconds.")] = False,
) -> None:
    """Show where a study is: run, stage, round, every center, and what needs a person."""
    from server.runs.status import study_status, tables
    from server.superlink.control import connect_to

    directory, console = StudyDirectory(root), wide_console()
    with connect_to(directory) as control:
        if as_json:
            typer.echo(json.dumps(study_status(directory, control, utc_now()).as_json(), indent=1))
        elif watch:
            with Live(console=console, auto_refresh=False) as live:
                while True:
                    now = utc_now()
                    live.update(tables(study_status(directory, control, now), now), refresh=True)
                    time.sleep(2)
        else:
            now = utc_now()
            console.print(tables(study_status(directory, control, now), now))


@app.command("log")
def log_command(root: Root) -> None:
    """Show what the ServerApp of the latest run has printed, and what it prints until the run ends or Ctrl-C."""
    from protocol.errors import LaunchError
    from server.runs.state_files import read_launch, read_progress
    from server.runs.watchdog_rules import latest
    from server.superlink.control import connect_to

    directory = StudyDirectory(root)
    with connect_to(directory) as control, suppress(KeyboardInterrupt):
        run = latest(read_launch(directory), read_progress(directory), control.runs())
        if run is None:
            raise LaunchError(
                f"the SuperLink knows no run of the study in {root}; begin it with `concilium launch {root}`"
            )
        typer.echo(f"run {run.run_id} is {run.status}", err=True)
        for text in control.log(run.run_id):
            typer.echo(text, nl=False)


@app.command("watchdog")
@app.command("steward", hidden=True)
def watchdog_command(root: Root) -> None:
    """Keep a study running: start it again where its run died, turn expired centers away, raise alarms."""
    from server.notices.notifier import Notifier
    from server.runs.watchdog import Watchdog
    from server.study.file import read_study
    from server.superlink.control import connect_to

    directory = StudyDirectory(root)
    read_study(directory.study_file)
    log_to_stderr()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    Notifier(directory, connect=lambda: connect_to(directory)).start(ended)
    Watchdog(directory, connect=lambda: connect_to(directory)).keep(ended)


def _start(directory: StudyDirectory, patience_s: float, accepted_bundle: str) -> None:
    from server.centers.bundle import bundle_bytes
    from server.runs.launch import check_ready, launch, wait_until_taken
    from server.superlink.control import connect_to

    now: datetime = utc_now()
    ready = check_ready(directory, now, accepted_bundle)
    for center in ready.missing:
        typer.echo(f"center '{center}' of stage '{ready.stage.name}' is not enrolled: the study goes on without it")
    for center in ready.not_agreed:
        typer.echo(
            f"center '{center}' has not agreed to stage '{ready.stage.name}', which was added after it joined: it sits "
            f"out there until it joins with a new kit, `concilium enroll {center} --study {directory.root}`"
        )
    with connect_to(directory) as control:
        run_id = launch(directory, control, bundle_bytes(), now)
        typer.echo(f"run {run_id} of study '{ready.study.name}' is queued, from stage '{ready.stage.name}' on")
        run = wait_until_taken(control, run_id, directory.root, patience_s)
    typer.echo(f"run {run_id} is {run.status}; follow it with `concilium status {directory.root} --watch`")
