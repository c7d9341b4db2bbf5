"""The `concilium` command: the coordinator's commands, and those that bring both sides together on one machine."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from deploy.supervision.idle_threads import let_idle_threads_sleep
from deploy.supervision.telemetry import switch_off_telemetry
from deploy.supervision.termination import interrupt_on_sigterm
from server.cli.app import app
from server.cli.console import log_to_stderr, wide_console
from server.cli.enrolment import ask_passphrase, study_app
from server.study.directory import StudyDirectory

__all__ = ["app", "main"]

OTHERS_NOTHING = 0o077
"""What is made here, and by programs that are started here, is for the account that runs them alone."""

Device = Annotated[str, typer.Option(help='"cpu", "cuda" or "auto".')]


@app.command("simulate")
def simulate_command(
    study: Annotated[Path, typer.Option(help="The study file.")],
    out: Annotated[Path, typer.Option(help="Where the results go.")],
    data: Annotated[Path | None, typer.Option(help="Folder with one folder per center.")] = None,
    synthetic: Annotated[bool, typer.Option("--synthetic", help="Make a synthetic cohort and run on it.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue after the last completed round.")] = False,
    engine: Annotated[str, typer.Option(help='"in-process", or "ray" for Flower\'s simulation engine.')] = "in-process",
    device: Device = "auto",
    backbone: Annotated[Path | None, typer.Option(help="Safetensors file of a backbone to start from.")] = None,
    against_local_only: Annotated[
        bool,
        typer.Option(
            "--against-local-only",
            help="Train every center alone as well, say what federation brought, and serve who loses its own.",
        ),
    ] = False,
) -> None:
    """Run a whole federated continual study on this machine."""
    if (data is None) != synthetic:
        raise typer.BadParameter("give either --data DIR or --synthetic")
    from client.service.thread_count import keep_thread_count
    from deploy.simulation.local import simulate
    from deploy.simulation.summary import print_summary
    from server.results.result import read_result

    console = Console()
    if against_local_only:
        from deploy.simulation.local_only import refuse_summed_scores, simulate_alone

        refuse_summed_scores(study)
    keep_thread_count(out)
    folder = data or provide_synthetic_cohort(out / "synthetic-cohort", console)
    brought = ""
    with interrupt_on_sigterm():
        directory = simulate(
            study, folder, out, engine=engine, device=device, resume=resume, console=console, backbone=backbone
        )
        if against_local_only:
            brought = simulate_alone(directory, folder, engine=engine, device=device, console=console)
    print_summary(directory, read_result(directory.result) or {}, console)
    if brought:
        console.print(brought)


@app.command("phantoms")
def phantoms_command(
    out: Annotated[Path, typer.Argument(help="Folder to write to: one folder per center, one per case in it.")],
    seed: Annotated[int, typer.Option(help="The same seed gives the same images.")] = 0,
) -> None:
    """Write the synthetic cohort alone: computed phantoms, to try `check`, `join` or a study of one's own on."""
    from client.data.synthetic import write_synthetic_cohort

    with Console(stderr=True).status("making the synthetic cohort"):
        write_synthetic_cohort(out, seed=seed)
    typer.echo(f"{out}: computed phantoms, no patient is in them; {out / 'README.txt'} says what they are")


@app.command("benchmark")
def benchmark_command(
    file: Annotated[Path, typer.Argument(help="The benchmark file.")],
    out: Annotated[Path, typer.Option(help="Where runs and results go; what is there already is not run again.")],
    data: Annotated[Path | None, typer.Option(help="Folder with one folder per center.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Runs at the same time; one a core if not given.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="An arm to run; may be given several times.")] = None,
    hours: Annotated[
        float | None, typer.Option(min=0, help="Stop after so long and write the tables; the next start goes on.")
    ] = None,
    report_only: Annotated[bool, typer.Option("--report-only", help="Run nothing; write the tables again.")] = False,
    device: Device = "auto",
) -> None:
    """Compare strategies: every arm with every seed and order of centers, then tables, tests and drawings."""
    if data is None and not report_only:
        raise typer.BadParameter("give --data DIR, or --report-only to write the tables of what was run")
    from deploy.comparison.command import benchmark

    asked, data = tuple(only or ()), None if report_only else data
    with interrupt_on_sigterm():
        unfinished = benchmark(file, data, out, jobs=jobs, only=asked, device=device, console=Console(), hours=hours)
    if unfinished:
        raise typer.Exit(1)


@app.command("backbone")
def backbone_command(
    study: Annotated[Path, typer.Option(help="The study file.")],
    weights: Annotated[
        Path, typer.Option("--weights", "--vmamba", help="File of public weights that fit the model; docs/models.md.")
    ],
    out: Annotated[Path, typer.Option(help="The safetensors file to write, for simulate --backbone.")],
) -> None:
    """Make a backbone whose CT network has public weights; the rest is drawn from the study's seed."""
    from deploy.study.pretrained import write_backbone

    report = write_backbone(study, weights, out)
    typer.echo(f"{out}: {len(report.used)} tensors of {weights} loaded")
    kinds = {f"{report.ignored_as}, ignored": report.ignored, f"{report.skipped_as}, skipped": report.skipped}
    for what, names in kinds.items():
        if names:
            typer.echo(f"{what}: {', '.join(names)}")


@app.command("env")
def env_command(as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False) -> None:
    """Show versions, cores and devices, and which selective scan each device uses."""
    from deploy.simulation.environment import environment, tables

    found = environment()
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=1))
    else:
        wide_console().print(*tables(found))


@study_app.command("init")
def study_init_command(
    file: Annotated[Path, typer.Argument(help="The study file.")],
    out: Annotated[Path, typer.Option(help="The coordinator's directory, ROOT in the other commands.")],
    endpoint: Annotated[str, typer.Option(help="HOST:PORT under which centers reach the coordinator.")],
    consortium: Annotated[str | None, typer.Option(help="Its name; the study's title by default.")] = None,
    authority: Annotated[Path | None, typer.Option(help="Folder of the authority; OUT.authority by default.")] = None,
    image: Annotated[str | None, typer.Option(help="Reference of the client image.")] = None,
    backbone: Annotated[Path | None, typer.Option(help="Safetensors file of a backbone to start from.")] = None,
) -> None:
    """Make a study that centers can join: initial state, settings, certificate authority, server certificate.

    A directory that is there already keeps everything.
    """
    from deploy.study.study_init import init_study, outlook
    from server.study.file import read_study

    given = {"consortium": consortium, "authority": authority, "image": image}
    init_study(file, out, endpoint, backbone=backbone, **{name: value for name, value in given.items() if value})
    for line in outlook(read_study(file)):
        typer.echo(line)
    typer.echo(f"{out}: ready. Next: `concilium enroll CENTER --study {out}` for each center, `concilium serve {out}`")


@app.command("extend")
def extend_command(
    file: Annotated[Path, typer.Argument(help="A file with the [centers.NAME] and [[stages]] to add.")],
    root: Annotated[Path, typer.Option("--study", help="The study's directory: ROOT, or OUT of a simulation.")],
    plan: Annotated[bool, typer.Option("--plan", help="Only show what would be added, and who has to agree.")] = False,
) -> None:
    """Add centers and stages to a study that is under way or done; its past stays as it is."""
    from deploy.study.extend_command import done_lines, plan_lines
    from deploy.study.study_extension import extend_study, plan_extension
    from server.study.extension import read_addition

    directory, addition = StudyDirectory(root), read_addition(file)
    if plan:
        lines = plan_lines(directory, plan_extension(directory, addition))
    else:
        lines = done_lines(directory, extend_study(directory, addition, ask=ask_passphrase))
    for line in lines:
        typer.echo(line)


@app.command("serve")
def serve_command(
    root: Annotated[Path, typer.Argument(help="The coordinator's directory, made by `concilium study init`.")],
    bind: Annotated[str, typer.Option(help='Address that centers come in on; "*" for all of this machine.')] = "*",
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port, where it is not the endpoint's.")] = None,
    only: Annotated[str | None, typer.Option(help="superlink, superexec or proxy, in place of all.")] = None,
) -> None:
    """Run the coordinator's programs until it is told to end: SuperLink, SuperExec, proxy and watchdog."""
    from deploy.coordinator.serve import become, prepare, serve

    log_to_stderr()
    serving = prepare(root, bind=bind, port=port)
    if only is None:
        serve(serving)
    else:
        become(serving, only)


def provide_synthetic_cohort(root: Path, console: Console) -> Path:
    """The synthetic cohort under `root`, made where it is not there yet."""
    from client.data.synthetic import write_synthetic_cohort

    if not (root / "README.txt").exists():
        with console.status("making the synthetic cohort"):
            write_synthetic_cohort(root, seed=0)
    return root


def main() -> None:
    """Entry point of the console script."""
    let_idle_threads_sleep()
    switch_off_telemetry()
    os.umask(OTHERS_NOTHING)
    app()
