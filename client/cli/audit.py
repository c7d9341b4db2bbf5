"""`concilium-center audit`: what a version of a bank gives away of this center's own patients."""

import json
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from client.cli.finding_view import open_console
from client.cli.interruption import StopNote, note_stop
from protocol.errors import CancelledError, CaseError
from protocol.modalities import ModalitySetting, modalities_in

if TYPE_CHECKING:
    from client.audit.audit_run import Audited
    from client.audit.pool import AuditPool
    from client.audit.target import AuditTarget
    from client.learning.cancellation import Check
    from client.service.trainer_options import TrainerOptions
    from protocol.messages.audit import Audit

SHADOWS = 16
FEWEST, MOST = 4, 256


@dataclass(frozen=True)
class Wish:
    """What to attack, and with how many shadows of how many steps; `stage` empty is the version's, `steps` None its."""

    bank: Path
    adapter: str
    version: int | None
    study: Path | None
    stage: str
    shadows: int
    steps: int | None


def audit_command(
    home: Annotated[Path, typer.Option(help="The center's home, or a trainer's: what knows who trained.")],
    bank: Annotated[Path, typer.Option(help="An adapter bank, OUT/bank after a run.")],
    adapter: Annotated[str, typer.Option(help='"shared" or a center.')] = "shared",
    version: Annotated[int | None, typer.Option(min=1, help="A version; the one in use where none is given.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder with one folder per case; as the home says.")] = None,
    center: Annotated[str | None, typer.Option(help="The name the center registered with; as the home says.")] = None,
    modalities: Annotated[
        ModalitySetting | None, typer.Option(help="What the center offers; as the home says, else ct+pet.")
    ] = None,
    study: Annotated[
        Path | None, typer.Option(help="The study file, where the home has no agreement: how shadows train.")
    ] = None,
    stage: Annotated[str, typer.Option(help="Stage whose training shadows repeat; the version's by default.")] = "",
    shadows: Annotated[
        int, typer.Option(min=FEWEST, max=MOST, help="Networks trained on half of the patients each; even.")
    ] = SHADOWS,
    steps: Annotated[
        int | None, typer.Option(min=1, max=100_000, help="Steps of each; those of the stage, at most 400.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A file to hand on, with figures alone; none by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    device: Annotated[str, typer.Option(help='"cpu", "cuda", or "auto": what is there.')] = "cpu",
) -> None:
    """Attack an adapter with the center's own patients: can it be told from it who trained?

    Nothing leaves: the result goes onto the center's own page. Shadows that are done are kept: an audit that was
    stopped goes on. Exit codes: 0 done; 1 not possible; 130 or 143 interrupted.
    """
    from client.service.trainer_options import trainer_options

    if shadows % 2:
        raise typer.BadParameter(f"found {shadows} shadows, expected an even number: halves come in pairs")
    offered = modalities_in(modalities) if modalities else None
    options = trainer_options(
        home, center=center, data=data, modalities=offered, device=device, socket=home / "trainer.sock"
    )
    wish = Wish(bank, adapter, version, study, stage, shadows, steps)
    audited = run_until_stopped(options, wish)
    if out is not None:
        hand_on(out, audited, options)
    report(audited.found, out, options.home, as_json=as_json)


def hand_on(out: Path, audited: "Audited", options: "TrainerOptions") -> None:
    """Write what may leave, once it is in the ledger, and say what is withheld from it and what nothing guarantees.

    Raises:
        CaseError: the patients differ from those of an earlier file by too few.
        RecordsError: the ledger is not as it was written.
        StorageError: the disk refuses.
    """
    from client.audit.audit_release import record_release, studies_that_promised
    from client.audit.handed_on import record_handed_on
    from client.audit.outward import to_hand_on
    from protocol.messages.audit import write_audit

    leaving, fewest = to_hand_on(audited.found, options.minimum_cases), options.minimum_cases
    scored = {attack.attack: audited.scored[attack.attack] for attack in leaving.attacks}
    record_handed_on(options.home, options.center, scored, fewest)
    promised = studies_that_promised(options.home, audited.names)
    record_release(options.home, leaving, audited.names, audited.stage, audited.server_round)
    write_audit(out, leaving)
    if leaving.private or promised:
        typer.echo(f"{out}: {_without_guarantee(promised or (leaving.study,))}", err=True)
    if leaving.suppressed:
        names = ", ".join(leaving.suppressed)
        typer.echo(f"{out}: withheld, for fewer than {fewest} patients of a kind: {names}", err=True)


def _without_guarantee(studies: Sequence[str]) -> str:
    """What promises of some studies are worth for a file of figures."""
    return (
        "figures over patients who trained, without noise: no guarantee covers them, and the epsilon that "
        f"{', '.join(map(repr, studies))} promised says nothing of what they tell. The ledger has them as left without "
        "a guarantee"
    )


def run_until_stopped(options: "TrainerOptions", wish: Wish) -> "Audited":
    """Audit with a bar over shadows; a signal ends the command with its own code."""
    with note_stop() as note:
        try:
            # The bar ends first: a line written beside it stands behind it.
            with show_shadows(wish.shadows) as tell:
                return run_audit(options, wish, note, tell)
        except CancelledError as error:
            typer.echo("stopped: what is done stays; the same command goes on", err=True)
            raise typer.Exit(note.exit_code) from error


def run_audit(options: "TrainerOptions", wish: Wish, note: StopNote, tell: Callable[[int], None]) -> "Audited":
    """Audit and keep what was found in the home.

    Raises:
        CancelledError: a signal asked to stop.
        ConciliumError: it cannot be done.
    """
    from client.audit.audit_log import record_audit
    from client.audit.audit_run import audit
    from client.audit.target import shadow_training, target_of
    from client.cli.audit_plan import stage_training
    from strategies.bank.bank import AdapterBank

    def check() -> None:
        if note:
            raise CancelledError(f"center '{options.center}': the audit was stopped")

    if not (options.home / "manifest.json").exists():
        raise CaseError(f"{options.home} is no home of a trainer that has run: nobody knows there who trained")
    bank = AdapterBank(wish.bank)
    planned = stage_training(options, wish.study, wish.stage or bank.entry(wish.adapter, wish.version).stage)
    training = shadow_training(planned.training, planned.steps_of_a_shadow(wish.steps))
    target = target_of(bank, wish.adapter, wish.version, planned.task, training, device=options.device)
    target = target.held_to(options.privacy, options.center)
    pool = gather_patients(options, target, check)
    audited = audit(options.center, target, pool, wish.shadows, options.home / "audit", check, tell)
    record_audit(options.home, audited.found)
    return audited


def gather_patients(options: "TrainerOptions", target: "AuditTarget", check: "Check") -> "AuditPool":
    """The center's patients, all parts of the split."""
    from client.audit.pool import PARTS, gather
    from client.home.agreement import agreed_by
    from client.service.cases import Cases
    from client.tasks.building import build_task

    settings = target.network.settings
    agreement = agreed_by(options.agreement, options.center) if options.agreement else None
    rows = agreement.rows if agreement else {}
    cases = Cases(options.center, options.data, options.modalities, options.home, rows)
    parts = {part: cases.part(settings, part, check) for part in PARTS}
    return gather(cases.manifest(settings), parts, build_task(target.task, settings))


@contextmanager
def show_shadows(count: int) -> Iterator[Callable[[int], None]]:
    """A bar over shadows on the error stream of a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("shadows", total=count)
        yield lambda done: progress.update(bar, completed=done)


def report(found: "Audit", out: Path | None, home: Path, *, as_json: bool) -> None:
    """Print what was found, for a script or for people."""
    from client.report.audit_section import NOT_SENT, attack_line

    if as_json:
        typer.echo(json.dumps(found.model_dump(mode="json", by_alias=True)))
        return
    table = Table("attack", "AUC [95 %]", "patients", "told", "reconstruction error")
    for column in table.columns:
        column.overflow = "fold"
    for line in map(attack_line, found.attacks):
        table.add_row(line.name, line.auc, line.patients, line.told, line.error)
    open_console().print(table)
    private = f", trained privately. {NOT_SENT}" if found.private else ""
    typer.echo(f"{found.reference}, {found.task}; {found.shadows} shadows of {found.steps} steps{private}")
    typer.echo("An AUC of 0.5 is chance. An attack that finds nothing does not show that nothing can be found.")
    typer.echo(
        f"{out}: figures alone, to hand on." if out else "Nothing left this center; --out FILE writes what to hand on."
    )
    page = shlex.join(["concilium-center", "report", "--home", str(home), "--center", found.center])
    typer.echo(f"It is kept for the center's own page, which this writes anew: {page}")
