"""`concilium-center dashboard`: the center's own page in the browser of this machine."""

from pathlib import Path
from typing import Annotated

import typer


def dashboard(
    home: Annotated[Path, typer.Option(help="The center's home, as `join` made it.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on this machine; 0 takes a free one.")] = 0,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the browser too.")] = False,
) -> None:
    """Show the connection, what trains now, what left, cases, scores and what federation brings, until Ctrl-C.

    Listens on this machine only; nothing of the page leaves it. The address it prints opens one session in one browser
    and then is spent. Exits with 1 where nobody joined with the home or the port is taken.
    """
    from client.dashboard.application import make_dashboard
    from client.dashboard.page_content import PageContent
    from client.home.center_home import CenterHome
    from reporting.serving.alone import serve_alone

    center = CenterHome(home.absolute())
    page = make_dashboard(center, PageContent(center))
    typer.echo("Ctrl-C ends the page; the center goes on.", err=True)
    serve_alone(page, port, typer.echo, with_browser=open_browser)
