"""`concilium-center ledger`: what left this center, for its engineer and its data protection officer."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from client.outgoing.ledger import Ledger, SentLine, as_json, read_ledger, totals
from protocol.storage.torn_line import torn_path

HASH_DIGITS, PIPED_WIDTH = 12, 200
COUNTED = ("replies", "again", "errors", "withheld", "tensors", "bytes")
COLUMNS = ("time (UTC)", "by", "kind", "stage", "round", "tensors", "bytes", "hash", "again", "error", "withheld")


def show_ledger(
    home: Annotated[Path, typer.Option(help="The center's home, or a trainer's: what holds outgoing.jsonl.")],
    as_object: Annotated[bool, typer.Option("--json", help="Print one JSON object, with whole hashes.")] = False,
    last: Annotated[int | None, typer.Option(min=1, help="Only the newest N lines; totals are of all.")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Only check that the logs stand as written.")] = False,
    noted: Annotated[
        list[str] | None, typer.Option(help="A head that was noted before: is everything up to it unchanged?")
    ] = None,
    privacy: Annotated[
        bool, typer.Option("--privacy", help="Show instead what patients who train have spent of what was promised.")
    ] = False,
    delta: Annotated[
        list[float] | None, typer.Option(help="With --privacy: at this delta; those that were promised if left out.")
    ] = None,
    chart: Annotated[
        Path | None, typer.Option(help="With --privacy: draw the curve into this .png or .html as well.")
    ] = None,
) -> None:
    """Show every message that left this center: what, how large, under which hash, and what was withheld.

    Ends with 1 where a log does not stand as it was written.
    """
    if privacy:
        from client.cli.privacy_spending import show_spending  # its accountant loads torch, which few commands need

        show_spending(home, delta or (), chart, as_object=as_object)
        return
    ledger = read_ledger(home)
    shown = ledger.sent if last is None else ledger.sent[-last:]
    if as_object:
        typer.echo(json.dumps(as_json(ledger, shown)))
    elif not verify:
        _show(ledger, shown)
    for log, count in ledger.torn.items():
        kept = f"{log}: {count} line(s) were cut off by a crash or a full disk and are kept in {torn_path(log)}"
        typer.echo(f"{kept}; no reply left for them", err=True)
    found = [*_chain_lines(ledger), *_noted_lines(ledger, noted or ())]
    for line in found:
        typer.echo(line.text, err=as_object or not line.good)
    if not all(line.good for line in found):
        raise typer.Exit(1)


@dataclass(frozen=True)
class _Verdict:
    """A line about a chain, and whether it is good news."""

    text: str
    good: bool = True


def _chain_lines(ledger: Ledger) -> Iterator[_Verdict]:
    """What the chain of each log says."""
    for by, chain in ledger.chains.items():
        if chain.broken is not None:
            text = f"{chain.log}: NOT as it was written from line {chain.broken.line} on: {chain.broken.found}"
            yield _Verdict(f"{text}; compare it with a backup, and with what the coordinator received", good=False)
        elif not chain.head:
            yield _Verdict(f"{by}: {chain.lines} line(s) of an earlier version, not chained yet; the next one will be")
        else:
            older = f", the first {chain.older} covered from then on" if chain.older else ""
            yield _Verdict(f"{by}: {chain.lines} line(s) stand as written{older}; head {chain.head}")


def _noted_lines(ledger: Ledger, noted: Sequence[str]) -> Iterator[_Verdict]:
    """Whether what was noted elsewhere is still what the logs begin with."""
    for head in noted:
        place = ledger.find_head(head.strip().lower())
        if place is None:
            text = f"no log has head {head}: a line before it was changed or removed since it was noted"
            yield _Verdict(text, good=False)
        else:
            yield _Verdict(f"{place[0]}: head {head[:HASH_DIGITS]} is that of line {place[1]}, unchanged up to there")


def _show(ledger: Ledger, shown: Sequence[SentLine]) -> None:
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
