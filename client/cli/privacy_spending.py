"""`concilium-center ledger --privacy`: what patients who train have spent of what they were promised."""

import json
from collections.abc import Sequence
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from client.data.manifest_file import read_manifest
from client.outgoing.ledger import LedgerError
from client.privacy.ledger_file import LEDGER, place_of
from client.privacy.privacy_ledger import PrivacyLedger
from client.privacy.spending import Spending, as_json, spending_of
from client.privacy.spending_picture import write_picture
from client.privacy.unguaranteed import promise_lines

BAR = 40


def show_spending(home: Path, deltas: Sequence[float], chart: Path | None, *, as_object: bool) -> None:
    """Print what was spent and is left, entries by kind, the curve, and what left without a guarantee; draw the curve.

    Raises:
        LedgerError: there is no ledger.
        RecordsError: it is not as it was written.
        CaseError: the manifest beside it is not.
    """
    if (place := place_of(home)) is None:
        raise LedgerError(f"{home} holds no {LEDGER}, neither directly nor under trainer/: nothing has left from there")
    if found := [f"--delta {delta:g} lies not between 0 and 1" for delta in deltas if not 0 < delta < 1]:
        raise typer.BadParameter("; ".join(found))
    spending = spending_of(PrivacyLedger(place).entries(), deltas)
    if chart is not None:
        write_picture(chart, spending)
    if as_object:
        typer.echo(json.dumps(as_json(spending, _center_of(place))))
    else:
        _show(spending)


def _center_of(place: Path) -> str | None:
    """The name that the manifest beside a ledger has; None before the first."""
    manifest = place / "manifest.json"
    return read_manifest(manifest).center if manifest.exists() else None


def _show(spending: Spending) -> None:
    console = Console(markup=False, emoji=False)
    table = Table("delta", "epsilon of private releases", "promised", "left")
    for row in spending.spent:
        promised, left = ("-" if value is None else f"{value:.3g}" for value in (row.promised, row.left))
        table.add_row(f"{row.delta:g}", _words(row.epsilon), promised, left)
    console.print(table)
    kinds = Table("kind", "entries", "without a mechanism")
    for kind, counts in spending.by_kind.items():
        kinds.add_row(kind, *map(str, counts.values()))
    console.print(kinds)
    highest = max((epsilon for _, epsilon in spending.curve if epsilon < float("inf")), default=0.0)
    for count, epsilon in spending.curve:
        length = BAR if epsilon == float("inf") else round(BAR * epsilon / highest)
        console.print(f"after {count:4d} release(s)  {_words(epsilon):>12}  {'#' * length}")
    for line in promise_lines(spending.without_guarantee):
        typer.echo(line)
    typer.echo("scores and comparisons are of validation and test patients, whom this guarantee does not cover")


def _words(epsilon: float) -> str:
    return "no guarantee" if epsilon == float("inf") else f"{epsilon:.3g}"
