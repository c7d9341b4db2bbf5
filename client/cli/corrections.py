"""`concilium-center corrections`: edited predictions come back as labels of the next stage."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from client.cli.finding_view import all_counts, count_grades, few_counts, issue_lines, open_console, print_lines
from client.cli.interruption import exit_on_signals
from client.cli.progress_bars import show_files
from client.data.checks import Issue
from reporting import formats

if TYPE_CHECKING:
    from client.corrections.comparison import Comparison
    from client.corrections.correction_run import Outcome, Result

WORDS = {
    "taken": "taken",
    "unchanged": "not changed",
    "known": "taken before",
    "refused": "refused",
}


def corrections(
    predictions: Annotated[Path, typer.Argument(help="What `predict` wrote: one case, or the folder of all.")],
    dest: Annotated[Path, typer.Argument(help="Data folder of the center, which the labels go into.")],
    edited: Annotated[Path | None, typer.Option(help="Folder or file with the edited SEG or RTSTRUCT objects.")] = None,
    server: Annotated[
        Path | None, typer.Option(help="In place of --edited: the PACS that has them, as for `pull`.")
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="Images of studies that are no case of DEST yet; as --edited without it."),
    ] = None,
    rois: Annotated[
        str | None,
        typer.Option(help="Which contours are meant: a pattern found in their names, as for `convert`."),
    ] = None,
    accept: Annotated[
        bool, typer.Option("--accept", help="Somebody looked at them: predictions without a change are labels too.")
    ] = False,
    private: Annotated[
        Path | None, typer.Option(help="The private folder of the conversion; DEST.private beside DEST.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare edited contours with their predictions, and keep them as labels of their cases.

    Exit code 0: everything was taken, or is not a correction. 1: an object was refused and the others were taken, or an
    error in one line. 2: an option that cannot be. 130 or 143: stopped; what was taken stays, run it again to go on.
    """
    from client.convert.identities import default_private, open_private
    from client.corrections.correction_run import ISSUES, Wishes, bring_back, discreet

    if (edited is None) == (server is None):
        raise typer.BadParameter("give one of --edited and --server")
    folder = open_private((private or default_private(dest)).resolve())
    with exit_on_signals(), folder.hold(), show_files("reading and comparing") as progress:
        objects = edited.absolute() if edited else _fetch(server, predictions, folder.path)
        result = bring_back(objects, predictions, dest, folder, Wishes(rois, accept, images), progress)
        folder.write_issues(result.all_issues, ISSUES)
    issues = tuple(discreet(result.all_issues, folder))
    if as_json:
        typer.echo(json.dumps(as_object(result, issues), indent=1, allow_nan=False))
    else:
        _print(result, issues, folder.path / ISSUES)
    raise typer.Exit(0 if result.complete else 1)


def _fetch(server: Path | None, predictions: Path, private: Path) -> Path:
    """The folder into which the PACS' objects came."""
    # Loads what speaks with a PACS, which a folder does not need.
    from client.corrections.from_pacs import fetch_edited
    from client.corrections.predictions import find_predictions
    from client.pacs.clients import connect
    from client.pacs.settings import read_server

    if server is None:
        raise typer.BadParameter("no server file")
    found, _ = find_predictions(predictions)
    with connect(read_server(server)) as client:
        return fetch_edited(client, found, private)


def as_object(result: "Result", issues: tuple[Issue, ...]) -> dict[str, Any]:
    """What `--json` prints; who drew, and from which file, stays in the private folder."""
    return {
        "complete": result.complete,
        "corrections": [
            {
                "case": outcome.case,
                "state": outcome.state,
                "comparison": asdict(outcome.comparison) if outcome.comparison else None,
            }
            for outcome in result.outcomes
        ],
        "issues": [
            {name: getattr(issue, name) for name in ("grade", "code", "case", "file", "message", "remedy")}
            for issue in issues
        ],
    }


def _print(result: "Result", issues: tuple[Issue, ...], kept: Path) -> None:
    console = open_console()
    if result.outcomes:
        console.print(_table(result.outcomes))
    told = tuple(dict.fromkeys(issues))  # Without sources, those of one case in the same words are one to a reader.
    counts = count_grades(issue.grade for issue in told)
    print_lines(console, (*issue_lines(told), all_counts(counts)))
    if issues:
        typer.echo(f"which object each finding is about, and where it lies: {kept}")
    taken = sum(1 for outcome in result.outcomes if outcome.state == "taken")
    typer.echo(f"{taken} of {len(result.outcomes)} correction(s) taken as labels; `concilium-center check` shows them")


def _table(outcomes: "tuple[Outcome, ...]") -> Table:
    table = Table(
        "case", "state", "Dice", "added path (mm)", "surface Dice 2 mm", "predicted (ml)", "corrected (ml)", "findings"
    )
    for column in table.columns:
        column.overflow = "fold"
    for outcome in outcomes:
        findings = few_counts(count_grades(issue.grade for issue in outcome.issues))
        table.add_row(outcome.case, WORDS[outcome.state], *_figures(outcome.comparison), findings)
    return table


def _figures(found: "Comparison | None") -> list[str]:
    if found is None:
        return [formats.number(None, ".3f")] * 5
    return [
        formats.number(found.dice, ".3f"),
        formats.number(found.added_path_mm, ".0f"),
        formats.number(found.surface_dice, ".3f"),
        formats.number(found.predicted_ml, ".2f"),
        formats.number(found.corrected_ml, ".2f"),
    ]
