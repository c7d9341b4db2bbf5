"""Launch, resume and stop a study through a SuperLink: what is checked before, what is waited for after.

The study's state is in its directory and every run begins at the last completed round, so that launching and resuming
are one thing: a run of the bundle that names the study's directory. `launch.json` says what is wanted from then on; the
watchdog keeps to it.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from protocol.errors import LaunchError, StudyError
from protocol.storage.locks import is_held
from server.centers.bundle import bundle_sha256
from server.centers.enrolment import Enrolment
from server.centers.federation_init import refuse_expired
from server.centers.registry import Member
from server.centers.study_plan import digest_of
from server.centers.unagreed import stages_not_agreed
from server.results.result import read_result
from server.runs.state_files import Launch, hold_launch, read_launch, write_state
from server.study.audit_log import AuditLog
from server.study.checkpoint import load, load_facts
from server.study.directory import StudyDirectory, read_prepared
from server.study.file import Study, read_study
from server.study.stage import Stage
from server.superlink.link import Link, Run

logger = logging.getLogger(__name__)

PENDING_S, STOP_S, POLL_S = 60.0, 120.0, 0.5


@dataclass(frozen=True)
class Readiness:
    """What a study can begin with: its next stage, and which of that stage's centers are enrolled.

    not_agreed: those that are enrolled and agreed to the study as it was before the stage came.
    """

    study: Study
    stage: Stage
    enrolled: tuple[str, ...]
    missing: tuple[str, ...]
    not_agreed: tuple[str, ...] = ()


def check_ready(directory: StudyDirectory, now: datetime, accepted_bundle: str = "") -> Readiness:
    """Everything that can be known before Flower is asked.

    Args:
        directory: the study's.
        now: aware.
        accepted_bundle: SHA-256 of the bundle that every center has put beside the one of its kit; "" where none was.

    Raises:
        StudyError: the directory holds no prepared study.
        EnrolmentError: the certificate or the registry cannot be read.
        StorageError: the checkpoint is damaged.
        LaunchError: the study is complete, the server's certificate has expired, too few centers are enrolled, or
            enrolled ones agreed to other settings or another bundle.
    """
    study = read_prepared(directory.root).study
    if is_complete(directory):
        raise LaunchError(
            f"study '{study.name}' in {directory.root} is complete; its results are in {directory.result.name} and "
            f"{directory.report.name}. `concilium extend` adds centers and stages to it; another study needs a "
            "directory of its own: `concilium study init`"
        )
    refuse_expired(directory, now)
    stage = next_stage(directory, study)
    members = Enrolment(directory).registry.members
    enrolled_members = {
        name: member for name, member in members.items() if member.accepted and not member.just_expired(now)
    }
    behind = stages_not_agreed(directory, study, enrolled_members)
    not_agreed = tuple(name for name in stage.centers if stage.name in behind.get(name, ()))
    enrolled = tuple(name for name in stage.centers if name in enrolled_members and name not in not_agreed)
    missing = tuple(name for name in stage.centers if name not in enrolled_members)
    _refuse_too_few(study, stage, enrolled, missing, not_agreed)
    _refuse_other_settings(study, {name: member for name, member in enrolled_members.items() if name not in behind})
    _refuse_other_bundle(enrolled_members, accepted_bundle)
    return Readiness(study, stage, enrolled, missing, not_agreed)


def next_stage(directory: StudyDirectory, study: Study) -> Stage:
    """The stage that a run would begin with: the one under way, or the last where only its results are to be written.

    Raises:
        StorageError: the checkpoint is damaged.
    """
    checkpoint = load(directory.checkpoint)
    index = 0 if checkpoint is None else checkpoint.stage_index
    return study.stages[min(index, len(study.stages) - 1)]


def is_complete(directory: StudyDirectory) -> bool:
    """Whether the study has been finished, with all stages that it has by now."""
    try:
        found = read_result(directory.result)
    except StudyError:
        return False
    return found is not None and found.get("status") == "complete" and not stages_to_come(directory)


def stages_to_come(directory: StudyDirectory) -> tuple[Stage, ...]:
    """The stages of a study that was extended which are not behind yet; none of any other.

    Raises:
        StudyError: there is no study.
        StorageError: the checkpoint is damaged.
    """
    state = load_facts(directory.checkpoint) if directory.versions.exists() else None
    if state is None:
        return ()
    return read_study(directory.study_file).stages[state.stage_index :]


def launch(directory: StudyDirectory, control: Link, bundle: bytes, now: datetime) -> str:
    """Start a run of the study and want it to go on; gives the run's id.

    Before that the SuperLink's register is made to follow the registry: nobody takes part who was revoked meanwhile.

    Raises:
        LaunchError: a run of this study is active, the SuperLink cannot be asked, or a center's key is refused.
        EnrolmentError: the registry cannot be read, or another user than its owner asks.
    """
    control.check_version()
    with hold_launch(directory):
        refuse_active(control.runs(), directory.root)
        for done in Enrolment(directory).reconcile(control):
            logger.warning("%s", done)
        return start(directory, control, bundle, now)


def start(directory: StudyDirectory, control: Link, bundle: bytes, now: datetime) -> str:
    """Start a run, without a look at others; for those who hold the right to (`starting`)."""
    before = read_launch(directory)
    run_id = control.start_run(bundle, {"study-directory": str(directory.root.resolve())})
    starts = before.starts + 1 if before is not None else 1
    AuditLog(directory.audit).record("launched", {"run_id": run_id, "starts": starts})
    write_state(directory.launch, Launch(wanted="running", run_id=run_id, launched_at=now, starts=starts))
    return run_id


def refuse_active(runs: Sequence[Run], root: Path) -> None:
    """LaunchError where a run is queued or under way: two would ask every center twice."""
    active = [run for run in runs if run.active]
    if active:
        raise LaunchError(
            f"run {active[0].run_id} of this study is {active[0].status}; follow it with `concilium status {root}`, or "
            f"end it with `concilium stop {root}` first"
        )


def wait_until_taken(control: Link, run_id: str, root: Path, patience_s: float = PENDING_S) -> Run:
    """Wait until a run is not pending any more.

    Raises:
        LaunchError: it still is after `patience_s` seconds, and stays queued; or it has failed at once.
    """
    ends_at = time.monotonic() + patience_s
    while True:
        run = next(run for run in control.runs() if run.run_id == run_id)
        if run.status == "finished:failed":
            raise LaunchError(
                f"run {run_id} has failed at once: {run.details or 'no reason given'}. Look at `concilium status "
                f"{root}` and {root}/logs/superexec.log"
            )
        if run.status != "pending":
            return run
        if time.monotonic() > ends_at:
            raise LaunchError(
                f"run {run_id} is still pending after {patience_s:.0f} s: no SuperExec takes it, because none runs or "
                "because the SuperLink refuses it (another secret, another version). See that `concilium serve "
                f"{root}` runs and look into {root}/logs/superexec.log; the run stays queued and begins as soon as a "
                f"SuperExec takes it, or ends with `concilium stop {root}`"
            )
        time.sleep(POLL_S)


def stop(directory: StudyDirectory, control: Link, patience_s: float = STOP_S) -> tuple[str, ...]:
    """Want the study stopped, stop its runs and wait until nothing runs it any more.

    Returns:
        The ids of the runs that were active.

    Raises:
        LaunchError: it was never launched; the SuperLink cannot be asked, in which case the watchdog stops the study
            when it can; or something runs it for longer than `patience_s` seconds.
    """
    with hold_launch(directory):
        before = read_launch(directory)
        if before is None:
            raise LaunchError(f"the study in {directory.root} was never launched; there is nothing to stop")
        AuditLog(directory.audit).record("stopped", {"run_id": before.run_id})
        write_state(directory.launch, before.model_copy(update={"wanted": "stopped"}))
        active = tuple(run.run_id for run in control.runs() if run.active)
        for run_id in active:
            control.stop_run(run_id)
    _wait_until_released(directory, control, time.monotonic() + patience_s)
    return active


def _wait_until_released(directory: StudyDirectory, control: Link, ends_at: float) -> None:
    while True:
        active = [run.run_id for run in control.runs() if run.active]
        held = is_held(directory.lock)
        if not active and not held:
            return
        if time.monotonic() > ends_at:
            who = f"not finished: run {', '.join(active)}" if active else f"a process still holds {directory.lock}"
            raise LaunchError(
                f"the study was told to stop, but {who}. Nothing is lost; look into "
                f"{directory.root}/logs/superexec.log and end the ServerApp's process, or restart the SuperExec"
            )
        time.sleep(POLL_S)


def _refuse_too_few(
    study: Study, stage: Stage, enrolled: tuple[str, ...], missing: tuple[str, ...], not_agreed: tuple[str, ...]
) -> None:
    quorum = study.quorum_of(len(stage.centers))
    if len(enrolled) >= quorum:
        return
    names = {"not enrolled": missing, "enrolled before the stage was added": not_agreed}
    lacking = "; ".join(f"{what}: {', '.join(centers)}" for what, centers in names.items() if centers)
    raise LaunchError(
        f"stage '{stage.name}' needs {quorum} of its {len(stage.centers)} centers, and {len(enrolled)} are enrolled; "
        f"{lacking}. Send each its kit (`concilium enroll CENTER`) and accept its answer "
        "(`concilium enroll --accept ANSWER`)"
    )


def _refuse_other_settings(study: Study, members: Mapping[str, Member]) -> None:
    other = [
        name
        for name, member in members.items()
        if (member.agreed_sha256 or member.settings_sha256)
        and (name not in study.centers or member.agreed_sha256 != digest_of(study, name))
    ]
    if other:
        raise LaunchError(
            f"what study.toml asks of {', '.join(other)} is not what they agreed to with their kits, and these centers "
            "would refuse it. Restore study.toml from a backup; or, if the change is meant, "
            "give each a new kit: `concilium revoke CENTER`, then `concilium enroll CENTER`"
        )


def _refuse_other_bundle(members: Mapping[str, Member], accepted: str) -> None:
    today = bundle_sha256()
    other = [name for name, member in members.items() if member.bundle_sha256 not in {"", today}]
    if other and accepted != today:
        raise LaunchError(
            f"the bundle of this installation, {today}, is not the one that {', '.join(other)} agreed to with their "
            "kits, and these centers would not run it. Use the release of Concilium that wrote the kits; or tell each "
            "the new hash by another way than the network, and when all have added it to "
            f"HOME/node/accepted_bundles.json, launch with `--accepted-bundle {today}`"
        )
