"""Commands on the adapter bank: list, show, export, roll back. They need no data and no torch."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from server.cli.console import wide_console
from server.study.audit_log import AuditLog
from server.study.directory import StudyDirectory
from strategies.bank.bank import AdapterBank
from strategies.bank.told import Tell, tell_nobody

app = typer.Typer(no_args_is_help=True, help="Look into an adapter bank, export from it, roll it back.")

BankDirectory = Annotated[Path, typer.Option("--bank", help="The bank's directory, OUT/bank after a run.")]
Version = Annotated[int | None, typer.Option(min=1, help="A version; the one in use where none is given.")]
Name = Annotated[str, typer.Argument(help='"shared" or the name of a center.')]


@app.command("list")
def list_entries(bank: BankDirectory = Path("bank")) -> None:
    """List every version of every adapter; * marks the one in use, x one that was withdrawn."""
    store = AdapterBank(bank)
    heads = {store.head(name).reference for name in store.names()}
    marks = {entry.reference: "x" for entry in store.entries() if store.tombstone(entry)}
    table = Table("", "adapter", "version", "center", "stage", "round", "tensors", "bytes", "sha256", "backbone")
    for entry in store.entries():
        table.add_row(
            ("*" if entry.reference in heads else "") + marks.get(entry.reference, ""),
            entry.name,
            str(entry.version),
            entry.center or "-",
            ", ".join(filter(None, (entry.stage, entry.provenance))),
            str(entry.server_round),
            str(entry.tensor_count),
            f"{entry.tensor_bytes:,}",
            entry.sha256[:12],
            entry.backbone[:12],
        )
    _show(table, f"study {store.settings.study}, bank {bank}")


@app.command("show")
def show_entry(name: Name, bank: BankDirectory = Path("bank"), version: Version = None) -> None:
    """Show one adapter: where it comes from, its hashes, its tensors; verifies what it shows."""
    store = AdapterBank(bank)
    entry = store.entry(name, version)
    facts = _two_columns(("field", "value"), entry.record.items())
    if tombstone := store.tombstone(entry):
        _show(facts, f"{entry.reference}, withdrawn: {tombstone.reason}; its tensors are gone")
        return
    tensors = store.tensors(entry)
    store.backbone(entry.backbone)
    _show(facts, f"{entry.reference}, verified against its hashes")
    _show(_two_columns(("tensor", "shape"), ((key, array.shape) for key, array in tensors.items())), "tensors")


@app.command("export")
def export_entry(
    name: Name,
    destination: Annotated[Path, typer.Argument(help="A new directory.")],
    bank: BankDirectory = Path("bank"),
    version: Version = None,
) -> None:
    """Write one adapter and its backbone as a peft directory that loads without this project."""
    entry = AdapterBank(bank).export(name, destination, version)
    typer.echo(f"{entry.reference} ({entry.sha256}) exported to {destination}")


@app.command("rollback")
def roll_back(
    name: Name,
    version: Annotated[int, typer.Argument(min=1, help="The version to use from now on.")],
    bank: BankDirectory = Path("bank"),
) -> None:
    """Point an adapter at another version; nothing is deleted."""
    store = AdapterBank(bank, log_beside(bank))
    before = store.head(name)
    entry = store.rollback(name, version)
    typer.echo(f"{name}: version {entry.version} is in use now, before it was {before.version}")


def log_beside(bank: Path) -> Tell:
    """What tells the audit log of the study that a bank belongs to; nobody where it lies beside none."""
    log = StudyDirectory(bank.resolve().parent).audit
    return AuditLog(log).record if log.exists() else tell_nobody


def _two_columns(header: tuple[str, str], rows: Iterable[tuple[str, Any]]) -> Table:
    table = Table(*header)
    for key, value in rows:
        table.add_row(key, str(value))
    return table


def _show(table: Table, title: str) -> None:
    table.title = title
    wide_console().print(table)
