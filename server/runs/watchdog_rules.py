"""What to do about a study's runs, decided from what is wanted and what is there; nothing is done here.

A run that ends without a verdict of the study (the machine, the SuperLink or the ServerApp died, or met what it does
not know) is started again from the last completed round: at once after one that lasted, later and later after several
that did not. A verdict of the study that time may heal is tried again for as long as it takes: a quorum that was missed
after ten minutes, a disk that refused a file as a run that died. Nothing is started while the disk is full. Any other
verdict waits for a person.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from protocol.errors import StorageError
from protocol.flower_start_time import START_S
from server.runs.state_files import Launch, RunProgress
from server.superlink.link import Run

PENDING_S = 60.0
TAKEN_WITHIN_S = START_S + PENDING_S
"""A run that is taken stays pending while its ServerApp loads, and Flower gives that `START_S`; then nobody has it."""
LASTED_S = 300.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 600.0
QUORUM_HEALS_IN_S = 600.0
NO_VERDICT = frozenset({"", "internal"})

Step = Literal["nothing", "start", "stop", "finish"]


@dataclass(frozen=True)
class Decision:
    """What to do now, why, and what a person should know.

    Attributes:
        step: "start" a run, "stop" the active one, "finish" (nothing more is wanted), or "nothing".
        superexec_idle: a run waits for a SuperExec that does not take it, and none is loading what it started for it.
    """

    step: Step = "nothing"
    reason: str = ""
    alarms: tuple[str, ...] = ()
    superexec_idle: bool = False


def decide(
    launch: Launch | None,
    progress: RunProgress | None,
    runs: Sequence[Run],
    now: datetime,
    *,
    disk_full: bool = False,
) -> Decision:
    """What to do about a study.

    Args:
        launch: what is wanted; None where the study was never launched.
        progress: where the study said it is.
        runs: all runs of the SuperLink, oldest first.
        now: aware.
        disk_full: whether the study's disk takes no file; what is started then would end at once.
    """
    found = _decide(launch, progress, runs, now)
    return replace(found, step="nothing") if disk_full and found.step == "start" else found


def _decide(launch: Launch | None, progress: RunProgress | None, runs: Sequence[Run], now: datetime) -> Decision:
    if launch is None:
        return Decision()
    active = next((run for run in reversed(runs) if run.active), None)
    if launch.wanted == "stopped":
        return Decision() if active is None else Decision("stop", f"run {active.run_id} is not wanted any more")
    if active is not None:
        return _about_active(active, now)
    if not runs:
        return Decision("start", "the SuperLink knows no run of this study")
    return _about_ended(latest(launch, progress, runs) or runs[-1], progress, runs, now)


def latest(launch: Launch | None, progress: RunProgress | None, runs: Sequence[Run]) -> Run | None:
    """The study's latest run, whoever started another since; the last of all where none is known; None without any."""
    known = {found.run_id for found in (launch, progress) if found is not None}
    return next((run for run in reversed(runs) if run.run_id in known), runs[-1] if runs else None)


def _about_ended(last: Run, progress: RunProgress | None, runs: Sequence[Run], now: datetime) -> Decision:
    """A study that is wanted and does not run."""
    verdict = progress if progress is not None and progress.run_id == last.run_id else None
    if last.status == "finished:completed" or (progress is not None and progress.state == "complete"):
        return Decision("finish", f"run {last.run_id} has completed the study")
    if verdict is not None and verdict.state == "failed" and verdict.code not in NO_VERDICT:
        return _about_verdict(verdict, last, runs, now)
    return _after_a_break(last, _short_ones(runs), now)


def _about_active(run: Run, now: datetime) -> Decision:
    waited_s = stuck_for_s(run, now)
    if not waited_s:
        return Decision()
    since = f"since {run.pending_at:%H:%M:%S} UTC" if run.pending_at else "for long"
    return Decision(
        alarms=(f"run {run.run_id} is pending {since}: no SuperExec takes it; look into logs/superexec.log",),
        superexec_idle=waited_s > TAKEN_WITHIN_S,
    )


def stuck_for_s(run: Run, now: datetime) -> float:
    """Seconds for which a run has been pending, once that is longer than a SuperExec takes; else 0."""
    waited_s = _since(run.pending_at, now) if run.status == "pending" else 0.0
    return waited_s if waited_s > PENDING_S else 0.0


def _about_verdict(verdict: RunProgress, last: Run, runs: Sequence[Run], now: datetime) -> Decision:
    """The study itself said why it cannot go on."""
    what = f"the study stopped after round {verdict.server_round} ({verdict.code}): {verdict.reason}"
    pauses_s = {"quorum": QUORUM_HEALS_IN_S, StorageError.code: _pause_s(_short_ones(runs))}
    heals_in_s = pauses_s.get(verdict.code)
    if heals_in_s is None:
        return Decision(alarms=(f"{what}. Correct that, then `concilium resume`",))
    alarms = (f"{what}. It is tried again after {heals_in_s:.0f} s",)
    if _since(last.finished_at, now) < heals_in_s:
        return Decision(alarms=alarms)
    return Decision("start", what, alarms)


def _after_a_break(last: Run, short: int, now: datetime) -> Decision:
    """Nobody said why: something died, or somebody stopped the run behind our back."""
    pause_s = _pause_s(short)
    what = f"run {last.run_id} ended as {last.status} ({last.details or 'no reason given'})"
    alarms = (f"{short} runs in a row ended within {LASTED_S:.0f} s; the last: {what}",) if short > 1 else ()
    if _since(last.finished_at, now) < pause_s:
        return Decision(alarms=alarms)
    return Decision("start", f"{what}; the study goes on after its last completed round", alarms=alarms)


def _pause_s(short: int) -> float:
    """How long to wait after so many short runs in a row."""
    return min(FIRST_PAUSE_S * 2.0 ** max(short - 1, 0), LONGEST_PAUSE_S)


def _short_ones(runs: Sequence[Run]) -> int:
    """How many of the last runs failed, one after the other, before they had lasted."""
    count = 0
    for run in reversed(runs):
        begun, ended = run.running_at or run.pending_at, run.finished_at
        lasted = begun is None or ended is None or (ended - begun).total_seconds() >= LASTED_S
        if lasted or run.status != "finished:failed":
            break
        count += 1
    return count


def _since(moment: datetime | None, now: datetime) -> float:
    return float("inf") if moment is None else (now - moment).total_seconds()
