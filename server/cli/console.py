"""What the coordinator's commands share: errors as one message, tables as wide as they need, a log on stderr."""

import logging
import sys
from importlib.metadata import version
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from protocol.errors import ConciliumError, StorageError
from protocol.storage.full_disk import explain_full_disk

PIPED_WIDTH = 240


class MessageGroup(TyperGroup):
    """Commands whose errors are one message on stderr and exit code 1, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command of this group."""
        try:
            return super().invoke(ctx)
        except ConciliumError as error:
            typer.echo(f"error ({error.code}): {error}", err=True)
            raise typer.Exit(1) from error
        except OSError as error:
            if not (told := explain_full_disk(error)):
                raise
            typer.echo(f"error ({StorageError.code}): {told}", err=True)
            raise typer.Exit(1) from error


def show_version(wanted: bool) -> None:  # noqa: FBT001 -- typer calls it with the flag
    """Print the releases of Concilium and Flower, and end."""
    if wanted:
        typer.echo(f"concilium {version('concilium')}, Flower {version('flwr')}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the release.")]


def wide_console() -> Console:
    """Where tables go: as wide as the terminal, or wide enough for whole rows in a pipe."""
    return Console(width=None if sys.stdout.isatty() else PIPED_WIDTH, markup=False)


def log_to_stderr() -> None:
    """What long-running commands say, a line each; not every call of the SuperLink."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
