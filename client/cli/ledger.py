"""`concilium-center ledger`: what left this center, for its engineer and its data protection officer."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from client.outgoing.ledger import SentLine, as_json, read_ledger, totals

HASH_DIGITS, PIPED_WIDTH = 12, 200
COUNTED = ("replies", "again", "errors", "withheld", "tensors", "bytes")
COLUMNS = ("time (UTC)", "by", "kind", "stage", "round", "tensors", "bytes", "hash", "again", "error", "withheld")


def show_ledger(
    home: Annotated[Path, typer.Option(help="The center's home, or a trainer's: what holds outgoing.jsonl.")],
    as_object: Annotated[bool, typer.Option("--json", help="Print one JSON object, with whole hashes.")] = False,
    last: Annotated[int | None, typer.Option(min=1, help="Only the newest N lines; totals are of all.")] = None,
) -> None:
    """Show every message that left this center: what, how large, under which hash, and what was withheld."""
    ledger = read_ledger(home)
    shown = ledger.sent if last is None else ledger.sent[-last:]
    if as_object:
        typer.echo(json.dumps(as_json(ledger, shown)))
        return
    terminal = Console()
    # A reason names what was found in brackets, which is no markup; and a pipe has no width.
    console = Console(width=terminal.width if terminal.is_terminal else PIPED_WIDTH, markup=False, emoji=False)
    console.print(_lines(shown))
    console.print(_totals(ledger.sent))
    for unreadable in ledger.unreadable:
        typer.echo(f"{unreadable.file}: line {unreadable.line} cannot be read", err=True)
    if ledger.unreadable:
        typer.echo(f"{len(ledger.unreadable)} line(s) cannot be read; they are in none of the totals", err=True)


def _lines(shown: Sequence[SentLine]) -> Table:
    table = Table(*COLUMNS)
    for line in shown:
        table.add_row(
            f"{line.time:%Y-%m-%d %H:%M:%S}",
            line.by,
            line.kind,
            line.stage,
            str(line.server_round),
            str(line.tensors),
            str(line.bytes + line.text_bytes),
            (line.content_sha256 or line.text_sha256)[:HASH_DIGITS],
            "again" if line.again else "",
            line.error,
            "\n".join(line.held_back),
        )
    return table


def _totals(sent: Sequence[SentLine]) -> Table:
    table = Table("in total", *COUNTED)
    for kind, counts in totals(sent).items():
        table.add_row(kind, *(str(counts[name]) for name in COUNTED))
    return table
