"""`concilium-center predict`: an adapter of a bank on scans, and the result in the forms that clinicians look at."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from client.cli.finding_view import NOTHING, count_grades, few_counts, open_console
from client.cli.interruption import StopNote, note_stop
from client.cli.predict_input import Where, find_scans, open_predictor
from client.cli.predict_pacs import store_results
from client.cli.scan_options import (
    CtOption,
    DataOption,
    DeviceOption,
    JsonOption,
    LayoutOption,
    ModalitiesOption,
    OutArgument,
    PetIsSuvOption,
    PetOption,
    PrivateOption,
    SourceOption,
    SuvOption,
    VersionOption,
)
from client.convert.contract import Choices
from client.dicom.algorithm import RESEARCH
from reporting import formats

if TYPE_CHECKING:
    from client.predict.prediction_run import Outcome

SHOWN = {
    "volume_ml": "volume",
    "suv_max": "SUVmax",
    "suv_mean": "SUVmean",
    "suv_peak": "SUVpeak",
    "mtv_ml": "MTV",
    "tlg": "TLG",
}
REVIEWS = {True: "by hand", False: "not asked for", None: "not judged"}
"""Whether uncertainty asks for a review -> what the table says."""


def predict(
    out: OutArgument,
    bank: Annotated[Path, typer.Option(help="An adapter bank, OUT/bank after a run.")],
    adapter: Annotated[str, typer.Option(help='"shared", a center, or "routed": per scan, by the router.')] = "shared",
    version: VersionOption = None,
    source: SourceOption = None,
    data: DataOption = None,
    ct: CtOption = None,
    pet: PetOption = None,
    study_uid: Annotated[
        list[str] | None, typer.Option(help="StudyInstanceUID of a study in the PACS; give it again for each.")
    ] = None,
    server: Annotated[
        Path | None, typer.Option(help="The PACS and its credentials: a TOML file that only you may read.")
    ] = None,
    store: Annotated[bool, typer.Option("--store", help="Send SEG, SR and RTSTRUCT to the PACS of --server.")] = False,
    modalities: ModalitiesOption = None,
    layout: LayoutOption = None,
    suv: SuvOption = "bw",
    pet_is_suv: PetIsSuvOption = False,
    private: PrivateOption = None,
    probability: Annotated[
        bool, typer.Option("--probability", help="Write the probability of each voxel as well.")
    ] = False,
    calibration: Annotated[
        Path | None,
        typer.Option(help="A center's calibration.json, by which masks of its adapter are marked for review."),
    ] = None,
    as_json: JsonOption = False,
    device: DeviceOption = "cpu",
) -> None:
    """Predict scans: masks as NIfTI, DICOM SEG and RTSTRUCT, figures as JSON and DICOM SR. Research, no diagnosis.

    Scans come from one of --source, --data, --ct with or without --pet, and --study-uid. Exit codes: 0 all were
    predicted (and stored); 1 some were not, and each is named; 130 or 143 interrupted, after the scan under way.
    """
    from client.predict.outputs import write_probability
    from client.predict.prediction_run import predict_scans
    from protocol.storage.atomic_files import make_private_folder
    from strategies.bank.bank import AdapterBank

    where = Where(source, data, ct, pet, tuple(study_uid or ()), server)
    where.check(store=store)
    bank_there, choices = AdapterBank(bank), Choices(suv=suv, declared_suv=pet_is_suv)
    predictor = open_predictor(bank_there, adapter, version, modalities, calibration, device=device)
    make_private_folder(out)
    scans = find_scans(where, bank_there, private or where.default_private(out), layout, choices, modalities)
    outcomes: list[Outcome] = []
    with note_stop() as note, show_progress(len(scans)) as advance:
        for outcome in predict_scans(scans, predictor, out, (write_probability,) if probability else ()):
            outcomes.append(outcome)
            advance(outcome)
            if note:
                break
    unsent = store_results(server, outcomes) if store and server else []
    report(outcomes, unsent, as_json=as_json)
    raise_unless_complete(outcomes, len(scans), unsent, note)


@contextmanager
def show_progress(scans: int, work: str = "predict", done: str = "predicted") -> Iterator[Callable[["Outcome"], None]]:
    """A bar on the error stream, named by the work, moved by each outcome; what went wrong is told at once."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task(work, total=scans)

        def advance(outcome: "Outcome") -> None:
            progress.advance(bar)
            for line in lines_of(outcome, done):
                progress.console.print(line, markup=False, highlight=False, soft_wrap=True)

        yield advance


def lines_of(outcome: "Outcome", done: str = "predicted") -> list[str]:
    """What is told of a scan while others follow: why nothing was made of it, or what speaks against what was."""
    if outcome.record is None:
        return [f"case '{outcome.case}' was not {done}: {outcome.error}"]
    return [issue["message"] for issue in outcome.record["warnings"] if issue["grade"] != "note"]


def report(outcomes: "Sequence[Outcome]", unsent: Sequence[str], *, as_json: bool) -> None:
    """Print what became of all scans, and what the PACS did not take, for a script or for people."""
    if as_json:
        told = {"notice": RESEARCH, "cases": [describe(outcome) for outcome in outcomes], "not_stored": list(unsent)}
        typer.echo(json.dumps(told))
        return
    for problem in unsent:
        typer.echo(f"not stored: {problem}", err=True)
    if outcomes:
        open_console().print(summary_table(outcomes))
    made = [outcome for outcome in outcomes if outcome.record is not None]
    typer.echo(f"{len(made)} of {len(outcomes)} scan(s) predicted; {RESEARCH}")


def describe(outcome: "Outcome") -> dict[str, Any]:
    """What a script is told of a scan; identities stay in its record."""
    if outcome.record is None:
        return {"case": outcome.case, "folder": str(outcome.folder), "error": outcome.error}
    kept = ("adapter", "modalities", "figures", "uncertainty", "answers", "files", "warnings")
    told = {name: outcome.record[name] for name in kept}
    return {"case": outcome.case, "folder": str(outcome.folder), **told}


def summary_table(outcomes: "Sequence[Outcome]") -> Table:
    """A row for each scan: what was found in it, or that it failed; a column for what at least one of them has."""
    records = [outcome.record for outcome in outcomes if outcome.record is not None]
    figures = [name for name in SHOWN if any(name in (record["figures"] or {}) for record in records)]
    tasks = list(dict.fromkeys(task for record in records for task in record["answers"]))
    judged = ["review"] if any(_review(record) is not None for record in records) else []
    table = Table("case", "state", "modalities", *(SHOWN[name] for name in figures), *judged, *tasks, "findings")
    for column in table.columns:
        column.overflow = "fold"
    for outcome in outcomes:
        table.add_row(outcome.case, *_cells(outcome.record, figures, judged, tasks))
    return table


def _cells(
    record: dict[str, Any] | None, figures: Sequence[str], judged: Sequence[str], tasks: Sequence[str]
) -> Iterator[str]:
    if record is None:
        yield from ("failed", *[NOTHING] * (2 + len(figures) + len(judged) + len(tasks)))
        return
    yield from ("predicted", record["modalities"])
    found = record["figures"] or {}
    yield from (_show(found[name]) if name in found else NOTHING for name in figures)
    yield from (REVIEWS[_review(record)] for _ in judged)
    yield from (json.dumps(record["answers"][task]) if task in record["answers"] else NOTHING for task in tasks)
    yield few_counts(count_grades(issue["grade"] for issue in record["warnings"]))


def _review(record: dict[str, Any]) -> bool | None:
    """Whether the record asks for a person; None where nothing says so, or there is no mask."""
    uncertainty: dict[str, Any] | None = record["uncertainty"]
    return None if uncertainty is None else uncertainty["review"]


def raise_unless_complete(
    outcomes: "Sequence[Outcome]", scans: int, unsent: Sequence[str], note: StopNote, done: str = "predicted"
) -> None:
    """End with the code of the signal that stopped it, or with 1 where a scan was not predicted or not stored.

    Raises:
        typer.Exit: in both cases.
    """
    if note and len(outcomes) < scans:
        typer.echo(f"stopped: {scans - len(outcomes)} scan(s) were not begun; what was {done} stays", err=True)
        raise typer.Exit(note.exit_code)
    if unsent or any(outcome.record is None for outcome in outcomes):
        raise typer.Exit(1)


def _show(figure: dict[str, Any]) -> str:
    if figure["value"] is None:
        return "undefined"
    return f"{formats.number(figure['value'], '.2f')} {figure['unit']}"
