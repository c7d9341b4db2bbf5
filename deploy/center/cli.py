"""The `concilium-center` command: the client's commands, and `join` and `node`, which keep programs running.

What is heavy is imported in the commands, not here: the trainer is a command of the same program and must have neither
Flower nor a way to the network.
"""

import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from client.cli.app import app
from client.home.center_home import DEFAULT_PORT, CenterHome
from client.home.own_privacy import read_own_privacy
from deploy.supervision.idle_threads import let_idle_threads_sleep
from deploy.supervision.telemetry import switch_off_telemetry
from protocol.errors import ConciliumError, RevokedError, StorageError
from protocol.modalities import ModalitySetting, modalities_in
from protocol.storage.full_disk import explain_full_disk

if TYPE_CHECKING:
    from client.join.preflight import Check
    from client.join.situation import Situation

__all__ = ["app", "join", "main", "node"]

Home = Annotated[
    Path, typer.Option(help="The center's home: key, agreement, settings, logs. Made where it is not there.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the checks as one JSON object.")]
DeviceName = Literal["auto", "cpu", "cuda"]
NOT_ACCEPTED = 16
"""As the check `authentication` has it, where a center is revoked while it runs."""


@app.command("join")
def join(
    home: Home,
    kit: Annotated[Path | None, typer.Argument(help="The kit the coordinator sent; not needed again.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder with one folder per case.")] = None,
    modalities: Annotated[ModalitySetting | None, typer.Option(help="What the center offers.")] = None,
    device: Annotated[DeviceName | None, typer.Option(help="What trains.")] = None,
    minimum_cases: Annotated[int | None, typer.Option(min=1, help="Fewest cases behind what leaves; 5.")] = None,
    maximum_steps: Annotated[int | None, typer.Option(min=1, help="Most local steps a round may ask for.")] = None,
    maximum_queries: Annotated[
        int | None, typer.Option(min=1, help="Most questions about figures ever answered on this data.")
    ] = None,
    maximum_batch: Annotated[int | None, typer.Option(min=1, help="Most crops a step; 512.")] = None,
    maximum_hours: Annotated[float | None, typer.Option(min=0, help="Longest work of one instruction; 72.")] = None,
    maximum_memory: Annotated[
        float | None, typer.Option(min=0, help="GiB for network, step and cases; what the device has.")
    ] = None,
    privacy: Annotated[Path | None, typer.Option(help="TOML of the least privacy that this center guarantees.")] = None,
    maximum_attack_auc: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Compare no candidate whose losses tell members better. Loss threshold alone: shadows take too long.",
        ),
    ] = None,
    backbone: Annotated[Path | None, typer.Option(help="The frozen backbone, where it came as a file.")] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65534, help="The local port after it answers health probes.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check only: make no key, start nothing.")] = False,
    prepare: Annotated[bool, typer.Option("--prepare", help="Check, make key and answer, start nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Check this machine against the kit, then join the federation and stay in it, with trainer and SuperNode.

    What is given is kept in HOME/center.toml: a later start needs --home alone.
    """
    from client.join.joining import hold_home, provide_backbone
    from client.join.preflight import CHECKS, PREPARING_CHECKS
    from deploy.center.start import Options, describe, examine_home, keep_center_alive, prepare_home

    log_to_stderr()
    offered = modalities_in(modalities) if modalities else ()
    most = (maximum_steps, maximum_queries, maximum_batch, maximum_hours, maximum_memory, maximum_attack_auc)
    own = read_own_privacy(privacy) if privacy else None
    options = Options(kit, data, offered, device, minimum_cases, *most, privacy=own, port=port)
    center = CenterHome(home.absolute())
    with hold_home(center, made=center.node.is_dir() or (kit is not None and not dry_run)) as in_use:
        situation = (examine_home if dry_run else prepare_home)(center, options, in_use)
        code = show(situation, PREPARING_CHECKS if prepare else CHECKS, as_json=as_json)
        if code or dry_run or situation.membership is None:
            raise typer.Exit(code)
        if backbone is not None:
            provide_backbone(center, situation.membership, backbone)
        if not prepare:
            typer.echo(f"joining {describe(situation.membership)}; logs: {center.trainer}, {center.node}", err=True)
            keep_center_alive(situation)


@app.command("node")
def node(
    home: Home,
    port: Annotated[
        int, typer.Option(min=1, max=65534, help="The port after it answers health probes.")
    ] = DEFAULT_PORT,
    unseen: Annotated[
        list[Path] | None, typer.Option(help="A folder of data: where this side can look into it, it does not start.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run the network side alone, beside a trainer that runs elsewhere: it needs HOME/node and HOME/run, no data."""
    from client.join.isolation import refuse_sight
    from client.join.joining import hold_home
    from client.join.preflight import NODE_CHECKS
    from client.node.node_files import provide_node_files
    from deploy.center.start import examine_node, keep_node_alive

    log_to_stderr()
    refuse_sight(unseen or ())
    center = CenterHome(home.absolute())
    with hold_home(center, made=center.node.is_dir()) as in_use:
        code = show(examine_node(center, port, in_use), NODE_CHECKS, as_json=as_json)
        if code:
            raise typer.Exit(code)
        provide_node_files(center)
        keep_node_alive(center, port)


def show(situation: "Situation", checks: "Sequence[Check]", *, as_json: bool) -> int:
    """Run the checks and print each as it is known, or all as JSON; returns the exit code."""
    from client.join.preflight import examine, exit_code, table

    results = []
    for result in examine(situation, checks):
        results.append(result)
        if not as_json:
            typer.echo(result.line)
    if as_json:
        typer.echo(json.dumps(table(results), indent=1))
    return exit_code(results)


def log_to_stderr() -> None:
    """Show what the programs do, but no line a call."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)


def main() -> None:
    """Entry point of the console script: one clear message, no traceback, for what a user can act on."""
    let_idle_threads_sleep()
    switch_off_telemetry()
    try:
        app()
    except ConciliumError as error:
        typer.echo(f"error ({error.code}): {error}", err=True)
        sys.exit(NOT_ACCEPTED if isinstance(error, RevokedError) else 1)
    except OSError as error:
        if not (told := explain_full_disk(error)):
            raise
        typer.echo(f"error ({StorageError.code}): {told}", err=True)
        sys.exit(1)
