"""The coordinator's commands that need no data and no torch: the adapter bank."""

import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from protocol.errors import ConciliumError
from server.cli import enrolment as enrolment_cli
from server.cli import launch as launch_cli
from server.cli import tracking as tracking_cli
from strategies.bank.bank import AdapterBank
from strategies.bank.entry import Entry

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


app = typer.Typer(
    cls=MessageGroup,
    no_args_is_help=True,
    help="A council of centers that teaches one model without moving one patient.",
    pretty_exceptions_show_locals=False,
)
bank_app = typer.Typer(no_args_is_help=True, help="Look into an adapter bank, export from it, roll it back.")
app.add_typer(bank_app, name="bank")
app.add_typer(enrolment_cli.app)
app.add_typer(launch_cli.app)
app.add_typer(tracking_cli.app)


@app.callback()
def coordinator() -> None:
    """A council of centers that teaches one model without moving one patient."""


BankDirectory = Annotated[Path, typer.Option("--bank", help="The bank's directory, OUT/bank after a run.")]
Version = Annotated[int | None, typer.Option(min=1, help="A version; the one in use where none is given.")]
Name = Annotated[str, typer.Argument(help='"shared" or the name of a center.')]


@bank_app.command("list")
def list_entries(bank: BankDirectory = Path("bank")) -> None:
    """List every version of every adapter; * marks the one in use."""
    store = AdapterBank(bank)
    heads = {store.head(name).reference for name in store.names()}
    table = Table("", "adapter", "version", "center", "stage", "round", "tensors", "bytes", "sha256", "backbone")
    for entry in store.entries():
        table.add_row(
            "*" if entry.reference in heads else "",
            entry.name,
            str(entry.version),
            entry.center or "-",
            entry.stage,
            str(entry.server_round),
            str(entry.tensor_count),
            f"{entry.tensor_bytes:,}",
            entry.sha256[:12],
            entry.backbone[:12],
        )
    _show(table, f"study {store.settings.study}, bank {bank}")


@bank_app.command("show")
def show_entry(name: Name, bank: BankDirectory = Path("bank"), version: Version = None) -> None:
    """Show one adapter: where it comes from, its hashes, its tensors; verifies what it shows."""
    store = AdapterBank(bank)
    entry = _chosen(store, name, version)
    tensors = store.tensors(entry)
    store.backbone(entry.backbone)
    facts = _two_columns(("field", "value"), asdict(entry).items())
    _show(facts, f"{entry.reference}, verified against its hashes")
    _show(_two_columns(("tensor", "shape"), ((key, array.shape) for key, array in tensors.items())), "tensors")


@bank_app.command("export")
def export_entry(
    name: Name,
    destination: Annotated[Path, typer.Argument(help="A new directory.")],
    bank: BankDirectory = Path("bank"),
    version: Version = None,
) -> None:
    """Write one adapter and its backbone as a peft directory that loads without this project."""
    entry = AdapterBank(bank).export(name, destination, version)
    typer.echo(f"{entry.reference} ({entry.sha256}) exported to {destination}")


@bank_app.command("rollback")
def roll_back(
    name: Name,
    version: Annotated[int, typer.Argument(min=1, help="The version to use from now on.")],
    bank: BankDirectory = Path("bank"),
) -> None:
    """Point an adapter at another version; nothing is deleted."""
    store = AdapterBank(bank)
    before = store.head(name)
    entry = store.rollback(name, version)
    typer.echo(f"{name}: version {entry.version} is in use now, before it was {before.version}")


def _chosen(store: AdapterBank, name: str, version: int | None) -> Entry:
    return store.head(name) if version is None else store.entry(name, version)


def _two_columns(header: tuple[str, str], rows: Iterable[tuple[str, Any]]) -> Table:
    table = Table(*header)
    for key, value in rows:
        table.add_row(key, str(value))
    return table


def _show(table: Table, title: str) -> None:
    table.title = title
    wide_console().print(table)


def wide_console() -> Console:
    """Where tables go: as wide as the terminal, or wide enough for whole rows in a pipe."""
    return Console(width=None if sys.stdout.isatty() else PIPED_WIDTH, markup=False)
