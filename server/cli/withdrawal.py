"""`concilium withdraw`: a center leaves a study for good."""

from pathlib import Path
from typing import Annotated

import typer

from server.cli.enrolment import ask_passphrase
from server.study.directory import StudyDirectory

app = typer.Typer()


@app.command("withdraw")
def withdraw_command(
    center: Annotated[str, typer.Argument(help="The center.")],
    root: Annotated[Path, typer.Option("--study", help="The study's directory: ROOT, or OUT of a simulation.")],
    replay: Annotated[
        Path | None, typer.Option(help="Where the later stages are prepared without it; beside ROOT by default.")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only show what would be removed and trained again.")] = False,
) -> None:
    """Revoke a center, remove what is its own and what holds its updates, and prepare the later stages without it."""
    from server.centers.roster_signing import roster_notice
    from server.superlink.control import connect_to
    from server.withdrawal.withdrawal import plan_withdrawal, withdraw

    directory = StudyDirectory(root)
    if plan:
        _show_plan(directory, center)
        return
    plan_withdrawal(directory, center)
    done = withdraw(
        directory, center, connect=lambda: connect_to(directory), ask=ask_passphrase, destination=replay
    ).statement
    typer.echo(f"center '{center}' has withdrawn from study '{done.study}'. {done.revoked}")
    if notice := roster_notice(directory):
        typer.echo(notice)
    typer.echo(f"removed: {', '.join(version.reference for version in done.removed) or 'nothing'}")
    if done.removed_backbones:
        typer.echo(f"removed backbones that it helped to train: {', '.join(done.removed_backbones)}")
    if done.influenced_backbones:
        typer.echo(f"stay, since others' versions stand on them: backbones {', '.join(done.influenced_backbones)}")
    typer.echo(f"in use: {done.in_use or 'no version of the shared adapter is without it'}")
    if done.replay:
        typer.echo(f"stages {', '.join(done.replayed_stages) or 'none'} can be trained again in {done.replay}:")
        typer.echo(f"  concilium simulate --study {done.replay}/study.toml --out {done.replay} --data DATA --resume")
        typer.echo(f"  or, over a network, `concilium study init {done.replay}/study.toml --out {done.replay} ...`")
    if done.replay_reason:
        typer.echo(done.replay_reason)
    typer.echo(" ".join([done.tracking, *([f"Marked: {', '.join(done.marked)}."] if done.marked else [])]))
    typer.echo(f"certificate: {directory.withdrawals}/{center}.html and .json")


def _show_plan(directory: StudyDirectory, center: str) -> None:
    from server.study.file import read_study
    from server.withdrawal.backbones import parted_backbones
    from server.withdrawal.withdrawal import plan_withdrawal

    lineage, parted = plan_withdrawal(directory, center)
    backbones = parted_backbones(directory, lineage, parted)
    stages = read_study(directory.study_file).stages
    first = "none" if lineage.first_stage is None else stages[lineage.first_stage].name
    gone = [entry.reference for entry in (*parted.own, *parted.shared)]
    typer.echo(f"first stage with an update of '{center}': {first}, {len(lineage.rounds)} round(s) in all")
    typer.echo(f"would lose their tensors for good: {', '.join(gone) or 'none'}")
    typer.echo(f"backbones that would go: {', '.join(backbones.gone) or 'none'}")
    typer.echo(f"would be in use: {parted.kept[-1].reference if parted.kept else 'no shared version'}")
    typer.echo(f"stay, trained from what it entered: {', '.join(e.reference for e in parted.influenced) or 'none'}")
    typer.echo(f"backbones that would stay for these: {', '.join(backbones.stay) or 'none'}")
