"""`concilium-center convert`: from an archive or a published data set to cases, with every finding."""

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from client.data.conversion import Layout, SuvKind
from protocol.errors import CaseError, StorageError

if TYPE_CHECKING:
    from client.cli.convert_screen import ConvertScreen
    from client.convert.contract import Choices
    from client.convert.identities import PrivateFolder
    from client.convert.label_table import LabelSource
    from client.convert.planning import Plan

AnyLayout = Literal["auto", "dicom", "nifti", "hecktor", "autopet", "nnunet", "pclt20k"]
SOME_LEFT_OUT, USAGE, INTERRUPTED = 1, 2, 130
STAYS = "what was converted stays, the same command goes on from there"


def convert(
    source: Annotated[Path, typer.Argument(help="Folder with an export of the PACS, or a published data set.")],
    dest: Annotated[Path, typer.Argument(help="Data folder to make or to go on with: one folder for each case.")],
    layout: Annotated[AnyLayout, typer.Option(help="What SOURCE is; found out by what is in it.")] = "auto",
    rois: Annotated[
        str | None,
        typer.Option(help='Which contours are the target: a pattern found in their names, such as "gtv|tumou?r".'),
    ] = None,
    suv: Annotated[SuvKind, typer.Option(help="SUV by body weight, lean body mass or body surface.")] = "bw",
    pet_is_suv: Annotated[
        bool, typer.Option("--pet-is-suv", help="I know that the PET files hold SUV of that kind already.")
    ] = False,
    ct_window: Annotated[
        tuple[float, float] | None, typer.Option(help="HU of black and white; for pictures alone (pclt20k).")
    ] = None,
    pet_window: Annotated[
        tuple[float, float] | None, typer.Option(help="SUV of black and white; for pictures alone.")
    ] = None,
    spacing: Annotated[
        tuple[float, float, float] | None, typer.Option(help="Voxel size z y x in mm; for pictures alone.")
    ] = None,
    table: Annotated[
        Path | None, typer.Option(help="The clinic's CSV of labels and covariates, to be written under the case ids.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="Its column of patient ids, study UIDs or accession numbers; never written.")
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="Its columns to write, with commas between; no others are.")
    ] = None,
    study: Annotated[Path | None, typer.Option(help="Study file whose \\[labels] names these columns instead.")] = None,
    private: Annotated[
        Path | None, typer.Option(help="Folder for whom the case ids stand for; DEST.private beside DEST.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Cases at a time; as many as there are cores and memory for.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be converted; write no case.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Convert studies to cases that can be checked; a second run touches only what changed.

    Case ids are keyed hashes: names, dates and UIDs stay in the private folder.

    Exit code 0: every case was converted with all its images, and a mask where it has contours. 1: a case failed or
    lacks one of these, or has an error, or the disk is full; what was converted stays. 2: an option or source that
    cannot be. 130 or 143: stopped; run it again to go on.
    """
    from client.cli.convert_table import label_source_of
    from client.convert.identities import default_private

    choices = choices_of(rois, suv, declared_suv=pet_is_suv, pictures=(ct_window, pet_window, spacing))
    place = (private or default_private(dest)).resolve()
    try:
        refuse_mixed(source.resolve(), dest.resolve(), place)
        labels = label_source_of(table, key, columns, study)
        code = _run(source, dest, place, layout, choices, labels, jobs, dry_run=dry_run, as_json=as_json)
    except CaseError as error:
        typer.echo(f"error ({error.code}): {error}", err=True)
        raise typer.Exit(USAGE) from error
    except StorageError as error:
        typer.echo(f"error ({error.code}): {error}\n{_room(dest, place)}\n{STAYS}", err=True)
        raise typer.Exit(SOME_LEFT_OUT) from error
    except KeyboardInterrupt as error:
        typer.echo(f"stopped at once; {STAYS}", err=True)
        raise typer.Exit(INTERRUPTED) from error
    raise typer.Exit(code)


def choices_of(
    rois: str | None,
    suv: SuvKind,
    *,
    declared_suv: bool,
    pictures: tuple[tuple[float, float] | None, tuple[float, float] | None, tuple[float, float, float] | None],
) -> "Choices":
    """What the options say.

    Raises:
        typer.BadParameter: a pattern that is none, or some of the options for pictures without the others.
    """
    from client.convert.contract import Choices, GreyLevels

    try:
        re.compile(rois or "")
    except re.error as error:
        raise typer.BadParameter(f"'{rois}' is no pattern: {error}", param_hint="--rois") from error
    ct_window, pet_window, spacing = pictures
    if ct_window and pet_window and spacing:
        return Choices(rois, suv, declared_suv, GreyLevels(ct_window, pet_window, spacing))
    if ct_window or pet_window or spacing:
        raise typer.BadParameter("--ct-window, --pet-window and --spacing are given together")
    return Choices(rois, suv, declared_suv)


def refuse_mixed(source: Path, dest: Path, private: Path) -> None:
    """Source, data and private folder lie beside each other: none would enter another one.

    Raises:
        CaseError: one lies in another one.
    """
    for inner, outer, why in (
        (dest, source, "the next run would read its own cases"),
        (source, dest, "the names in it would lie among the cases"),
        (private, dest, "whom the case ids stand for would travel with the cases"),
        (private, source, "the next run would read what it unpacked"),
    ):
        if inner == outer or outer in inner.parents:
            raise CaseError(f"{inner} lies in {outer}: {why}; choose folders beside each other")


def _run(
    source: Path,
    dest: Path,
    place: Path,
    layout: AnyLayout,
    choices: "Choices",
    labels: "LabelSource | None",
    jobs: int | None,
    *,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Find the cases, then list or convert them; returns the exit code."""
    from client.cli.convert_screen import ConvertScreen
    from client.cli.convert_view import print_plan
    from client.convert.identities import open_private
    from client.convert.planning import find_cases, plan

    name = _tell_layout(source) if layout == "auto" else layout
    if not source.exists():
        raise CaseError(f"source {source} does not exist; correct the path")
    folder = open_private(place)
    with folder.hold(), ConvertScreen() as screen:
        found = plan(find_cases(source, name, choices, folder, screen.index), source, dest, name, choices, folder)
        if not dry_run:
            return _convert(found, dest, folder, screen, labels, jobs, as_json=as_json)
    print_plan(found, place, as_json=as_json)
    return 0


def _convert(
    found: "Plan",
    dest: Path,
    private: "PrivateFolder",
    screen: "ConvertScreen",
    labels: "LabelSource | None",
    jobs: int | None,
    *,
    as_json: bool,
) -> int:
    from client.cli.convert_table import add_labels
    from client.cli.convert_view import print_summary
    from client.cli.interruption import note_stop
    from client.convert.capacity import fitting_jobs
    from client.convert.conversion_run import convert as convert_all

    with note_stop() as screen.stop:
        summary = convert_all(found, dest, private, screen, jobs=jobs or fitting_jobs(found.tasks))
    told = add_labels(labels, dest, private) if labels and not summary.stopped else ()
    summary, found = replace(summary, issues=(*summary.issues, *told)), replace(found, issues=(*found.issues, *told))
    screen.end()
    print_summary(summary, found, dest, private.path, as_json=as_json)
    if summary.stopped:
        return screen.stop.exit_code
    return 0 if summary.complete and found.tasks else SOME_LEFT_OUT


def _room(*folders: Path) -> str:
    """Free space where a conversion writes."""
    there = (next(path for path in (folder, *folder.parents) if path.exists()) for folder in map(Path.resolve, folders))
    rooms = {path: shutil.disk_usage(path).free / 1e6 for path in there}
    return "; ".join(f"{free_mb:.0f} MB are free at {path}" for path, free_mb in rooms.items())


def _tell_layout(source: Path) -> Layout:
    from client.convert.layouts import recognize_layout

    name, reason = recognize_layout(source)
    typer.echo(f"layout {name}: {reason}", err=True)
    return name
