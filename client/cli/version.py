"""`concilium-center --version`: what to tell a coordinator who asks."""

from importlib.metadata import version
from typing import Annotated

import typer


def show_version(wanted: bool) -> None:  # noqa: FBT001 -- typer calls it with the flag
    """Print the releases of Concilium and Flower, and end."""
    if wanted:
        typer.echo(f"concilium {version('concilium')}, Flower {version('flwr')}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the release.")]


def center(_version: Version = False) -> None:
    """One center of a federation."""
