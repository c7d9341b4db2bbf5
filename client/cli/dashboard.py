"""`concilium-center dashboard`: the center's own page in the browser of this machine."""

from contextlib import nullcontext
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
    from client.dashboard.application import Dashboard
    from client.dashboard.page_content import PageContent
    from client.home.center_home import CenterHome
    from reporting.serving.admission import Admission
    from reporting.serving.server import LOOPBACK, bind, opened_browser, serve
    from reporting.serving.token_session import serve_by_token

    center = CenterHome(home.absolute())
    content, admission = PageContent(center), Admission()
    shown = Dashboard(center, content)
    with bind(port) as bound:
        address = f"http://{LOOPBACK}:{bound.getsockname()[1]}/open?token={admission.token}"
        typer.echo(f"center {content.center}: open this address once, in a browser on this machine:\n{address}")
        typer.echo("Ctrl-C ends the page; the center goes on.", err=True)
        with opened_browser(address) if open_browser else nullcontext():
            serve(serve_by_token(shown.answers, admission, "dashboard"), bound, on_end=shown.live.end)
