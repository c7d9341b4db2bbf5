"""From a kit and options to checks, and from checks to running programs: what `join` and `node` do."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from client.home.center_home import CenterHome, CenterSettings, HomeError, Membership, read_membership
from client.home.own_privacy import OwnPrivacy
from client.join.isolation import data_of, hides_too_much, without_data, without_network
from client.join.joining import find_membership, judge_kit, keep_settings, merge_settings, prepare
from client.join.situation import Situation
from deploy.center.node_health import HealthWatch, tell_taken_port
from deploy.center.programs import SUPERNODE, health_address, node_programs, trainer_program
from deploy.center.standing_watch import StandingWatch, ask_standing
from deploy.center.work_shown import WorkShown
from deploy.supervision.supervisor import Program, Supervisor
from protocol.enrolment.kit import Kit
from protocol.errors import RevokedError
from reporting.formats import size

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """What the command line says; None and empty leave a setting as the home keeps it."""

    kit: Path | None = None
    data: Path | None = None
    modalities: tuple[str, ...] = ()
    device: str | None = None
    minimum_cases: int | None = None
    maximum_steps: int | None = None
    maximum_queries: int | None = None
    maximum_batch: int | None = None
    maximum_hours: float | None = None
    maximum_memory: float | None = None
    maximum_attack_auc: float | None = None
    privacy: OwnPrivacy | None = None
    port: int | None = None


def examine_home(home: CenterHome, options: Options, in_use: str) -> Situation:
    """What the checks look at, with nothing written: for a dry run."""
    return _situation(home, options, in_use)[0]


def prepare_home(home: CenterHome, options: Options, in_use: str) -> Situation:
    """What the checks look at, after the key, the answer, the agreement and the settings are in the home."""
    situation, kit = _situation(home, options, in_use)
    if situation.home_error:
        return situation
    if kit is not None and situation.authority is not None:
        try:
            prepare(home, kit, situation.authority)
        except HomeError as error:
            return Situation(home, situation.kit_finding, home_error=str(error), device=situation.device)
    if situation.settings is not None and home.agreement.exists():
        keep_settings(home, situation.settings)
    return situation


def examine_node(home: CenterHome, port: int, in_use: str) -> Situation:
    """What the network side's checks look at: no data folder, no kit."""
    finding, _, _ = judge_kit(None, home, datetime.now(UTC))
    settings = CenterSettings(data=(), port=port)
    try:
        membership = read_membership(home)
        authority = home.authority.read_bytes()
    except (HomeError, OSError) as error:
        return Situation(home, finding, settings=settings, home_error=in_use or str(error))
    return Situation(home, finding, membership, authority, settings, in_use)


def keep_center_alive(situation: Situation) -> None:
    """Run trainer, SuperNode and SuperExec until SIGTERM; returns when they have ended.

    Raises:
        RevokedError: the coordinator turned the center's key away for good, and they have ended for it.
    """
    home, membership, settings = situation.home, situation.membership, situation.settings
    if membership is None or settings is None:
        raise HomeError(f"home {home.root} has no agreement or no settings; join with the kit and --data")
    folders = data_of(home, settings)
    blind = () if hides_too_much(home, folders) else without_data(folders)
    trainer = trainer_program(home, without_network(), home.trainer / "trainer.log")
    node = node_programs(home, membership, settings.port, isolation=blind, log=home.node / "node.log")
    shown = WorkShown(home.trainer / "trainer.log").start()
    try:
        _keep_alive(home, [trainer, *node], settings.port)
    finally:
        shown.set()


def keep_node_alive(home: CenterHome, port: int) -> None:
    """Run SuperNode and SuperExec until SIGTERM, their output on this process's own; raises as `keep_center_alive`."""
    _keep_alive(home, node_programs(home, read_membership(home), port), port)


def describe(membership: Membership) -> str:
    """What joining means, in one line: study, model, bytes a round."""
    found = membership.agreement
    whose = "" if membership.consortium == found.title else f" of {membership.consortium}"
    return (
        f"study '{found.study}' ({found.title}){whose}, model {found.model}; a round brings at "
        f"most {size(found.bytes_down_per_round)} and sends at most {size(found.bytes_up_per_round)}"
    )


def _keep_alive(home: CenterHome, programs: Sequence[Program], port: int) -> None:
    watch = StandingWatch(SUPERNODE, lambda: ask_standing(home))

    def note_end(name: str, exit_code: int) -> None:
        watch.note_end(name, exit_code)
        if name == SUPERNODE:
            tell_taken_port(port + 1)
        if watch.revoked:
            supervisor.stop()

    supervisor = Supervisor(programs, on_restart=note_end)
    done = HealthWatch(supervisor, SUPERNODE, health_address(port)).start()
    try:
        supervisor.run()
    finally:
        done.set()
    if watch.revoked:
        raise RevokedError(
            "the coordinator no longer accepts this center's key: it was revoked, or its membership ended; nothing "
            "runs here any more. Ask the coordinator; a new kit is needed to come back"
        )


def _situation(home: CenterHome, options: Options, in_use: str) -> tuple[Situation, Kit | None]:
    finding, kit, authority = judge_kit(options.kit, home, datetime.now(UTC))
    try:
        membership = find_membership(home, kit)
        given = {name: value for name, value in vars(options).items() if name != "kit"}
        settings = merge_settings(home, center=membership.center if membership else None, **given)
    except HomeError as error:
        return Situation(home, finding, home_error=in_use or str(error), device=options.device or "auto"), None
    if authority is None and membership is not None and home.authority.exists():
        authority = home.authority.read_bytes()
    device = settings.device if settings else options.device or "auto"
    situation = Situation(home, finding, membership, authority, settings, in_use, device)
    return situation, kit
