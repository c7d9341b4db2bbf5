"""`concilium-center fuse`: one image of CT and PET, by an adapter of a bank, in forms that people look at."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from client.cli.finding_view import NOTHING, count_grades, few_counts, open_console
from client.cli.interruption import note_stop
from client.cli.predict import raise_unless_complete, show_progress
from client.cli.predict_input import Where, find_scans
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

if TYPE_CHECKING:
    from client.predict.prediction_run import Outcome


def fuse(
    out: OutArgument,
    bank: Annotated[Path, typer.Option(help="An adapter bank of a study of fusion, OUT/bank after a run.")],
    adapter: Annotated[str, typer.Option(help='"shared", or a center.')] = "shared",
    version: VersionOption = None,
    source: SourceOption = None,
    data: DataOption = None,
    ct: CtOption = None,
    pet: PetOption = None,
    modalities: ModalitiesOption = None,
    layout: LayoutOption = None,
    suv: SuvOption = "bw",
    pet_is_suv: PetIsSuvOption = False,
    private: PrivateOption = None,
    as_json: JsonOption = False,
    device: DeviceOption = "cpu",
) -> None:
    """Fuse scans: NIfTI, PNG pages, and DICOM secondary capture where the scan was DICOM. Research, no diagnosis.

    Scans come from one of --source, --data, and --ct with or without --pet. Exit codes: 0 all were fused; 1 some were
    not, and each is named; 130 or 143 interrupted, after the scan under way.
    """
    from client.learning.assembly import row_of
    from client.predict.fused import ScanFuser
    from client.predict.fused_outputs import fuse_scans
    from client.predict.networks import one_adapter
    from protocol.storage.atomic_files import make_private_folder
    from strategies.bank.bank import AdapterBank

    where = Where(source, data, ct, pet)
    where.check(store=False)
    store = AdapterBank(bank)
    row = row_of(store.settings)
    fuser = ScanFuser(store.settings, row, one_adapter(store, row, adapter, version, device=device), modalities)
    make_private_folder(out)
    choices = Choices(suv=suv, declared_suv=pet_is_suv)
    scans = find_scans(where, store, private or where.default_private(out), layout, choices, modalities)
    outcomes: list[Outcome] = []
    with note_stop() as note, show_progress(len(scans), "fuse", "fused") as advance:
        for outcome in fuse_scans(scans, fuser, out):
            outcomes.append(outcome)
            advance(outcome)
            if note:
                break
    report(outcomes, as_json=as_json)
    raise_unless_complete(outcomes, len(scans), (), note, "fused")


def report(outcomes: "Sequence[Outcome]", *, as_json: bool) -> None:
    """Print what became of all scans, for a script or for people."""
    if as_json:
        typer.echo(json.dumps({"notice": RESEARCH, "cases": [describe(outcome) for outcome in outcomes]}))
        return
    if outcomes:
        open_console().print(summary_table(outcomes))
    made = [outcome for outcome in outcomes if outcome.record is not None]
    typer.echo(f"{len(made)} of {len(outcomes)} scan(s) fused; {RESEARCH}")


def describe(outcome: "Outcome") -> dict[str, Any]:
    """What a script is told of a scan; identities stay in its record."""
    told = {"case": outcome.case, "folder": str(outcome.folder)}
    if outcome.record is None:
        return {**told, "error": outcome.error}
    return {**told, **{name: outcome.record[name] for name in ("adapter", "modalities", "files", "warnings")}}


def summary_table(outcomes: "Sequence[Outcome]") -> Table:
    """A row for each scan: from what it was fused and what was written, or that it failed."""
    table = Table("case", "state", "modalities", "pages", "DICOM", "findings")
    for column in table.columns:
        column.overflow = "fold"
    for outcome in outcomes:
        record = outcome.record
        if record is None:
            table.add_row(outcome.case, "failed", *[NOTHING] * 4)
            continue
        pages, captured = str(len(record["files"]["pages"])), record["dicom"].get("capture", {}).get("instances")
        found = few_counts(count_grades(issue["grade"] for issue in record["warnings"]))
        instances = NOTHING if captured is None else f"{captured} instances"
        table.add_row(outcome.case, "fused", record["modalities"], pages, instances, found)
    return table
