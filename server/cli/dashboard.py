"""`concilium dashboard`: a study in the browser, read only."""

from pathlib import Path
from typing import Annotated

import typer

from server.study.directory import StudyDirectory

app = typer.Typer()


@app.command("dashboard")
def dashboard_command(
    root: Annotated[Path, typer.Argument(help="The coordinator's directory, made by `concilium study init`.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on this machine; 0 takes a free one.")] = 0,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the browser too.")] = False,
    listen: Annotated[
        str, typer.Option(help="ADDRESS:PORT for a team, with TLS and a password; never the centers' port.")
    ] = "",
    login: Annotated[Path | None, typer.Option(help="File with the password's hash, where it is not ROOT's.")] = None,
    certificate: Annotated[
        Path | None, typer.Option(help="Certificate for --listen; the server's own by default.")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="Its key.")] = None,
    set_password: Annotated[bool, typer.Option("--set-password", help="Ask for the password, keep its hash.")] = False,
) -> None:
    """Show who is connected, what each center does, stage and round, alarms, scores and the bank, until Ctrl-C.

    On this machine alone the address it prints opens one session in one browser and then is spent. The page updates
    itself, changes nothing, and loads nothing from elsewhere.
    """
    from reporting.serving.server import Certificate
    from server.dashboard.password_file import write_password
    from server.dashboard.running import Door, login_file, run_by_login, run_by_token

    directory = StudyDirectory(root)
    file = login or login_file(directory)
    if (certificate is None) != (key is None):
        raise typer.BadParameter("give --certificate and --key together")
    if set_password:
        write_password(file, typer.prompt("password of the dashboard", hide_input=True, confirmation_prompt=True))
        typer.echo(f"{file}: the password's hash is kept")
    elif listen:
        shown = Certificate(certificate or directory.server_certificate, key or directory.server_key)
        run_by_login(directory, Door(listen, file, shown), typer.echo)
    else:
        run_by_token(directory, port, typer.echo, with_browser=open_browser)
