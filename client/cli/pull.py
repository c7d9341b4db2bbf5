"""`concilium-center pull`: the studies of a worklist from the hospital's PACS into a folder."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from client.cli.interruption import exit_on_signals
from client.pacs.contract import MODALITIES, PacsClient
from client.pacs.pace import Pace
from client.pacs.patience import USUAL
from client.pacs.pull import WELL, Outcome, look, pull, summary, write_summary
from client.pacs.settings import read_server
from client.pacs.worklist import Entry, read_worklist
from protocol.errors import ConciliumError, PacsError
from protocol.storage.atomic_files import make_private_folder, remove_unfinished
from protocol.storage.locks import LockHeldError, hold_lock

NOT_ALL = 3
MEGABYTE = 1e6

Modalities = Annotated[
    list[str] | None,
    typer.Option(
        "--modality",
        help="DICOM modality of the series to fetch, such as CT; give it again for each. CT, PT, RTSTRUCT and SEG "
        "where none is given.",
    ),
]


def pull_studies(
    worklist: Annotated[
        Path, typer.Option(help="CSV table: study_uid, accession, or patient_id with study_date; a study a row.")
    ],
    server: Annotated[Path, typer.Option(help="The PACS and its credentials: a TOML file that only you may read.")],
    out: Annotated[Path, typer.Option(help="Folder for the studies; the same one again fetches what lacks.")],
    modality: Modalities = None,
    megabytes_per_s: Annotated[
        float | None, typer.Option(min=0.001, help="Take no more than this from the PACS; as fast as it gives if none.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Ask the PACS what it has, and fetch nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")] = False,
) -> None:
    """Fetch the studies of a worklist from the PACS, by DICOMweb or C-GET; what is there already is not fetched again.

    Exit codes: 0 all rows are complete; 1 stopped, since a file or option is wrong, the PACS refused or stayed silent,
    or the disk is full; 3 some rows could not be fetched, and each is named; 130 or 143 interrupted. After 1, 3, 130
    and 143 the same command continues.
    """
    # Loads what speaks with a PACS, which no other command needs.
    from client.pacs.clients import connect

    entries, pacs = read_worklist(worklist), read_server(server)
    modalities = tuple(modality or MODALITIES)
    with exit_on_signals(), connect(pacs) as client:
        if dry_run:
            outcomes = _ask(client, entries, modalities, as_json=as_json)
        else:
            bytes_per_s = None if megabytes_per_s is None else megabytes_per_s * MEGABYTE
            outcomes = _fetch(client, entries, modalities, out, bytes_per_s, as_json=as_json)
    raise typer.Exit(_exit_code(outcomes))


def _ask(client: PacsClient, entries: Sequence[Entry], modalities: Sequence[str], *, as_json: bool) -> list[Outcome]:
    """What the PACS has, a line a study."""
    outcomes = []
    for found in look(client, entries, modalities=modalities, patience=USUAL):
        outcome = found if isinstance(found, Outcome) else found.outcome("found")
        outcomes.append(outcome)
        typer.echo(describe(outcome), err=as_json)
    if as_json:
        typer.echo(json.dumps(summary(client.name, outcomes)))
    return outcomes


def _fetch(
    client: PacsClient,
    entries: Sequence[Entry],
    modalities: Sequence[str],
    out: Path,
    bytes_per_s: float | None,
    *,
    as_json: bool,
) -> list[Outcome]:
    """Fetch, with a line a study and a bar over all; the summary is written however it ends."""
    outcomes: list[Outcome] = []
    stopped = "interrupted"
    with _alone_in(out), Display(len(entries)) as display:
        try:
            for outcome in pull(
                client,
                entries,
                out,
                modalities=modalities,
                patience=USUAL,
                pace=Pace(bytes_per_s),
                count=display.count,
            ):
                outcomes.append(outcome)
                display.show(outcome)
            stopped = ""
        except ConciliumError as error:
            stopped = str(error)
            raise
        finally:
            found = summary(client.name, outcomes, stopped=stopped)
            write_summary(out, found)
            if as_json:
                typer.echo(json.dumps(found))
    return outcomes


@contextmanager
def _alone_in(out: Path) -> Iterator[None]:
    """Make the folder and hold it, without what a killed pull left half written.

    Raises:
        PacsError: another pull writes there.
    """
    make_private_folder(out)

    def explain(held: LockHeldError) -> PacsError:
        return PacsError(f"{out} is filled by process {held.holder} now; wait for it, or give another --out")

    with hold_lock(out / ".lock", mode=0o600, otherwise=explain):
        remove_unfinished(out)
        yield


class Display:
    """A bar over the rows of a worklist and a line for each study, on the error stream."""

    def __init__(self, rows: int) -> None:
        self._console = Console(stderr=True, markup=False, emoji=False, highlight=False, soft_wrap=True)
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        self._progress = Progress(*columns, TimeElapsedColumn(), console=self._console)
        self._task = self._progress.add_task("asking", total=rows)
        self._rows: set[int] = set()
        self._objects, self._bytes = 0, 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def count(self, size: int) -> None:
        """One object came."""
        self._objects, self._bytes = self._objects + 1, self._bytes + size
        self._progress.update(self._task, description=f"{self._objects} objects, {self._bytes / MEGABYTE:.1f} MB")

    def show(self, outcome: Outcome) -> None:
        """One study ended."""
        self._console.print(describe(outcome), soft_wrap=True)
        self._rows.add(outcome.line)
        self._progress.update(self._task, completed=len(self._rows))


def describe(outcome: Outcome) -> str:
    """One line: row, state, study, what it has, what came, and what is wrong."""
    series = ", ".join(f"{count} {modality}" for modality, count in (outcome.series or {}).items())
    parts = [f"line {outcome.line}: {outcome.state}", outcome.study_uid]
    if series:
        parts.append(f"series {series}, {outcome.objects} object(s)")
    if outcome.received:
        parts.append(f"{outcome.received} came now ({outcome.received_bytes / MEGABYTE:.1f} MB)")
    return "; ".join(part for part in [*parts, outcome.problem] if part)


def _exit_code(outcomes: Sequence[Outcome]) -> int:

    return 0 if all(outcome.state in WELL for outcome in outcomes) else NOT_ALL
