"""`concilium-center renew-key`: another key for a center that has joined."""

from pathlib import Path
from typing import Annotated

import typer

from client.home.center_home import CenterHome


def renew_key(
    home: Annotated[Path, typer.Option(help="The center's home, which `join` made.")],
) -> None:
    """Make a new key and the answer that asks the coordinator to take it; until then the old one stays in use."""
    from client.node.renewal import prepare_renewal

    path = prepare_renewal(CenterHome(home.absolute()))
    typer.echo(f"send this answer file to the coordinator: {path}")
    typer.echo("once it is accepted, the center takes the new key into use by itself")
