"""Which events hold now, from what `concilium status` knows, the history and the disk; pure.

A center is lost when it is a member, the study runs, and it has been away for `LOST_S`. A round is stuck when the
centers that it waits for have kept it for longer than `STUCK_TIMES` its usual length, and never before `STUCK_S`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from server.notices.events import Notice, notice
from server.runs.status import StudyStatus
from server.study.history import GateRecord

LOST_S = 120.0
STUCK_TIMES, STUCK_S = 5.0, 900.0
SHARE_LEFT, BYTES_LEFT = 0.05, 2_000_000_000
"""A disk is nearly full when less than both is free: a twentieth of a large one is room enough."""


@dataclass(frozen=True)
class Disk:
    """The file system of the study's directory, in bytes."""

    free: int
    total: int

    @property
    def nearly_full(self) -> bool:
        """Whether a study should not go on filling it."""
        return self.free < BYTES_LEFT and self.free < SHARE_LEFT * self.total


@dataclass(frozen=True)
class Place:
    """What remedies name: the study's directory and the address that centers reach."""

    root: str
    endpoint: str


def find_notices(
    status: StudyStatus,
    gates: Iterable[GateRecord],
    disk: Disk,
    place: Place,
    now: datetime,
    *,
    expiring: Iterable[str] = (),
    round_s: float | None = None,
    waiting_since: datetime | None = None,
    lost_s: float = LOST_S,
) -> tuple[Notice, ...]:
    """Every event that holds at `now`.

    Args:
        status: of the study.
        gates: what the no-harm gate decided so far.
        disk: where the study's directory lies.
        place: for the remedies.
        now: aware.
        expiring: a sentence for each certificate or membership that ends soon, with the command that renews it.
        round_s: how long a round of the stage takes; None before one was completed.
        waiting_since: since when the round under way waits; None where none does.
        lost_s: how long a center may be away before it is lost.
    """
    return (
        *_lost(status, place, now, lost_s),
        *_stuck(status, place, now, round_s, waiting_since),
        *_refused(gates),
        *_filling(disk, place),
        *(_expiry(line) for line in expiring),
        *_ended(status, place),
    )


def _lost(status: StudyStatus, place: Place, now: datetime, lost_s: float) -> Iterator[Notice]:
    if status.state != "running":
        return
    for center in status.centers:
        seen = center.last_seen
        if center.online is not False or center.enrolled != "enrolled" or seen is None:
            continue
        if now - seen >= timedelta(seconds=lost_s):
            since = f"{seen:%Y-%m-%d %H:%M} UTC"
            needed = "; the round waits for it" if center.waited_for else ""
            what = f"center '{center.name}' was last seen at {since}{needed}"
            yield notice("center-lost", f"{center.name}@{since}", what, endpoint=place.endpoint)


def _expiry(line: str) -> Notice:
    """Of one line of `expiry_notices`; the days that are left are no part of what it is remembered by."""
    what, _, remedy = line.partition("; ")
    return notice("certificate-ends", what.partition(", in ")[0], what, remedy=remedy)


def _stuck(
    status: StudyStatus, place: Place, now: datetime, round_s: float | None, since: datetime | None
) -> Iterator[Notice]:
    if status.state != "running" or not status.waiting_for or since is None:
        return
    limit_s = max(STUCK_S, STUCK_TIMES * (round_s or 0.0))
    waited_s = (now - since).total_seconds()
    if waited_s >= limit_s:
        waiting = ", ".join(status.waiting_for)
        where = f"stage '{status.stage}', round {status.stage_round}"
        usual = f"; rounds take about {round_s / 60:.0f} min" if round_s else ""
        what = f"{where} has waited for {waiting} for {waited_s / 60:.0f} min{usual}"
        yield notice("round-stuck", where, what, root=place.root)


def _refused(gates: Iterable[GateRecord]) -> Iterator[Notice]:
    for gate in gates:
        if not gate.verdict.promoted:
            what = f"stage '{gate.stage}': its candidate did not become the shared adapter: {gate.verdict.reason}"
            yield notice("gate-refused", gate.stage, what)


def _filling(disk: Disk, place: Place) -> Iterator[Notice]:
    if disk.nearly_full:
        what = f"{disk.free / 1e9:.1f} GB of {disk.total / 1e9:.0f} GB are free where {place.root} lies"
        yield notice("disk-nearly-full", place.root, what, root=place.root)


def _ended(status: StudyStatus, place: Place) -> Iterator[Notice]:
    if status.state == "complete":
        yield notice("study-done", status.study, f"study '{status.study}' is complete", root=place.root)
    elif status.state == "failed" and status.wanted == "running":
        what = f"the study stopped after round {status.server_round} ({status.code}): {status.reason}"
        yield notice("study-stopped", f"{status.server_round}/{status.code}", what, root=place.root)
