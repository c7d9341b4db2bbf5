"""Commands on the audit log: verify it and what it speaks of, sign it, show it. They need no data and no torch."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from server.cli.console import wide_console
from server.cli.enrolment import ask_passphrase, directory_at
from server.study.audit_log import read_events
from server.study.directory import StudyDirectory

if TYPE_CHECKING:
    from server.audit.verification import Verification

app = typer.Typer(no_args_is_help=True, help="Check, sign or show what a coordinator did, event by event.")

Root = Annotated[Path, typer.Argument(help="The study's directory: ROOT, or OUT of a simulation.")]


@app.command("verify")
def verify_command(
    root: Root,
    signed: Annotated[
        list[Path] | None, typer.Option(help="A signed head that was kept elsewhere; may be given several times.")
    ] = None,
    noted: Annotated[list[str] | None, typer.Option(help="A head that was noted; may be given several times.")] = None,
) -> None:
    """Check log, signatures, bank and checkpoints against each other; ends with 1 where something is wrong."""
    from server.audit.authority_copy import kept_heads
    from server.audit.verification import verify

    directory = StudyDirectory(root)
    found = verify(directory, kept=kept_heads(directory, signed or ()), noted=noted or ())
    for line in _lines(found):
        typer.echo(line, err=not found.whole)
    if not found.whole:
        raise typer.Exit(1)


@app.command("sign")
def sign_command(
    root: Root,
    out: Annotated[Path | None, typer.Option(help="A further copy of the signed head, to keep elsewhere.")] = None,
) -> None:
    """Sign all events so far with the study's authority; its key has to be here, its passphrase is asked for."""
    from server.audit.authority_copy import sign_with_authority
    from server.audit.signed_head import write_signed_head

    signed, copy = sign_with_authority(directory_at(root), ask_passphrase)
    typer.echo(f"{signed.lines} event(s) signed, head {signed.head}; a copy is in {copy}")
    if out is not None:
        write_signed_head(out, signed)
        typer.echo(f"another one is in {out}")


@app.command("show")
def show_command(
    root: Root,
    last: Annotated[int | None, typer.Option(min=1, help="Only the newest N events.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line, as in the log.")] = False,
) -> None:
    """Show the events of a study, in their order."""
    events = read_events(StudyDirectory(root).audit)
    shown = events if last is None else events[-last:]
    if as_json:
        for event in shown:
            frame = {"number": event.number, "time": event.time, "by": event.by, "event": event.event}
            typer.echo(json.dumps({**frame, **event.facts}))
        return
    table = Table("number", "time (UTC)", "event", "facts")
    for event in shown:
        table.add_row(str(event.number), event.time, event.event, json.dumps(dict(event.facts)))
    wide_console().print(table)


def _lines(found: "Verification") -> Iterator[str]:
    for finding in found.findings:
        yield f"{finding.weight.upper()}: {finding.what}: {finding.found}"
    count, log = len(found.events), found.chain.log
    if found.whole:
        of_what = "bank, checkpoints, result and registry"
        yield f"{log}: {count} event(s), each as it was written; {of_what} are what they say"
    if not found.every_file:
        yield (
            "not recorded: an earlier version began this log, in which router.json, result.json and backbones had no "
            "event; as far as no later run or command wrote them, they are held against nothing"
        )
    if not found.authority:
        yield "no authority: chained, and signed by nobody; who may write log and files could write all of them anew"
    elif found.signed is None:
        yield f"signed up to no event, only chained: sign with `concilium audit sign`; authority {found.authority}"
    else:
        after = count - found.signed.lines
        yield (
            f"signed up to event {found.signed.lines} on {found.signed.signed_at} by authority {found.authority}; "
            f"{after} event(s) since, that signature among them, only chained"
        )
    yield f"head {found.chain.head or 'none'}"
