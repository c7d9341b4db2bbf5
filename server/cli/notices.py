"""`concilium notices`: which events hold, where notices of them go, and a trial one."""

from pathlib import Path
from typing import Annotated

import typer

from server.study.directory import StudyDirectory

app = typer.Typer()


@app.command("notices")
def notices_command(
    root: Annotated[Path, typer.Argument(help="The coordinator's directory, made by `concilium study init`.")],
    test: Annotated[bool, typer.Option("--test", help="Send a trial notice by every channel.")] = False,
) -> None:
    """Show the channels of ROOT/notices.toml and what was sent by them; `serve` and `watchdog` send."""
    from server.notices.channels import channels
    from server.notices.sent_file import read_sent
    from server.notices.settings import read_notice_settings
    from server.study.file import read_study

    directory = StudyDirectory(root)
    study = read_study(directory.study_file).name
    found = channels(read_notice_settings(directory.notice_settings), study)
    typer.echo(f"channels: {', '.join(found) or f'none; name them in {directory.notice_settings}'}")
    for key, sent in read_sent(directory.notices).notices.items():
        told = ", ".join(f"{channel} {at:%Y-%m-%d %H:%M} UTC" for channel, at in sent.items())
        typer.echo(f"sent: {key}: {told}")
    if test:
        _try_all(directory, study)


def _try_all(directory: StudyDirectory, study: str) -> None:
    """Send a trial notice by every channel; the first that fails does not keep the others from being tried."""
    from protocol.errors import LaunchError
    from server.notices.channels import channels
    from server.notices.events import trial
    from server.notices.settings import read_notice_settings

    failed = []
    for channel, send in channels(read_notice_settings(directory.notice_settings), study).items():
        try:
            send(trial())
            typer.echo(f"{channel}: a trial notice was taken")
        except LaunchError as error:
            failed.append(f"{channel}: {error}")
    if failed:
        raise LaunchError("; ".join(failed))
