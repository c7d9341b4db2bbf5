"""What `concilium status` knows about a study: what is wanted, the run, every center, alarms; also with Flower down."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table

from protocol.errors import ConciliumError
from protocol.tasks import TASKS, metric_named
from server.centers.enrolment import Enrolment
from server.centers.expiry_notices import expiry_notices
from server.centers.unagreed import agreement_notices
from server.runs.disk_alarm import DISK, disk_alarms, look_at
from server.runs.launch import is_complete, stages_to_come
from server.runs.silence import silence_note, silent_since
from server.runs.state_files import CenterProgress, RunProgress, read_launch, read_progress, read_watchdog
from server.runs.watchdog_rules import latest, stuck_for_s
from server.study.directory import StudyDirectory
from server.study.file import Study, read_study
from server.superlink.link import Link, RegisteredNode, Run

WATCHDOG_SILENT_S, WATCHDOG_LATE_S = 60.0, 15.0
"""A watchdog writes every five seconds: one that is late may have met a full disk, on which it can tell nobody."""
ASKED: Mapping[str, str] = {
    "register": "to register",
    "train": "to train",
    "evaluate": "to score test cases",
    "compare": "to compare the candidate for the gate",
    "observe": "to observe training cases",
    "collect": "to hand in what came late",
    "advertise": "to send keys of a sum",
    "share": "to send shares of a sum",
    "unmask": "to open a sum",
}
"""Kind of an instruction -> what a center that is waited for was asked."""
COPIED = ("code", "reason", "stage", "stage_round", "stage_rounds", "server_round")


@dataclass(frozen=True)
class CenterStatus:
    """One center: whether it may come, whether it is there and since when, and the last that was heard of it.

    silent_since: its last call, where it counts as online and has not called as often as it should.
    """

    name: str
    enrolled: str
    online: bool | None
    last_seen: datetime | None
    waited_for: bool
    last: CenterProgress | None
    since: datetime | None = None
    silent_since: datetime | None = None


@dataclass(frozen=True)
class StudyStatus:
    """One study at one moment.

    Attributes:
        wanted: "running", "stopped", or "" when it was never launched.
        run: Flower's latest run of it; None when there is none or the SuperLink cannot be asked.
        waiting_for, waiting_kind, waiting_since: who was asked and has not answered; what, an instruction's kind; when.
        state: the study's own word: "running", "complete", "failed", "interrupted", or "" where there is none yet;
            "starting" while the latest run has said nothing, "extended" where stages were added to one that was done.
        to_come: the stages of an extended study that are not behind yet.
        metrics: the primary metric of each of the study's tasks.
        notes: what a person should read: alarms, expiries, a SuperLink that is down.
    """

    study: str
    wanted: str
    run: Run | None
    state: str
    code: str
    reason: str
    stage: str
    stage_round: int
    stage_rounds: int
    server_round: int
    rounds: int
    waiting_for: tuple[str, ...]
    centers: tuple[CenterStatus, ...]
    metrics: tuple[str, ...]
    notes: tuple[str, ...]
    to_come: tuple[str, ...] = ()
    waiting_kind: str = ""
    waiting_since: datetime | None = None

    @property
    def silence(self) -> str:
        """What a person should know of centers that are silent while the study runs; "" where none is."""
        silent = {center.name: center.silent_since for center in self.centers if center.silent_since}
        return silence_note(silent) if self.state == "running" else ""

    @property
    def all_notes(self) -> tuple[str, ...]:
        """The notes, and what is said of silent centers."""
        return (*self.notes, *filter(None, [self.silence]))

    def as_json(self) -> dict[str, Any]:
        """For machines; times are ISO 8601."""
        plain: dict[str, Any] = {**_plain(asdict(self)), "notes": list(self.all_notes)}
        for table, center in zip(plain["centers"], self.centers, strict=True):
            table["last"] = center.last.model_dump(mode="json") if center.last else None
        return plain


def study_status(directory: StudyDirectory, control: Link, now: datetime) -> StudyStatus:
    """Everything that can be known now.

    Raises:
        ConciliumError: the directory holds no study, or one of its files is damaged.
    """
    study = read_study(directory.study_file)
    runs, nodes, down = _ask(control)
    launch, found = read_launch(directory), read_progress(directory)
    progress = found or RunProgress(state="interrupted")
    alarms = _alarms(directory, now) if launch else ()
    ours = (*agreement_notices(directory), *expiry_notices(directory, now))
    notes = (*down, *_pending(runs, alarms, now), *alarms, *ours)
    run = latest(launch, found, runs)
    state: str = "complete" if is_complete(directory) else found.state if found else ""
    to_come = tuple(stage.name for stage in stages_to_come(directory))
    if state == "complete" and to_come:
        state, notes = "extended", (f"stages were added: go on with `concilium launch {directory.root}`", *notes)
    if run is not None and run.active and run.run_id != progress.run_id:
        state = "starting"
    elif run is not None and not run.active and state == "running":
        state, notes = "interrupted", (f"run {run.run_id} ended without a word of the study", *notes)
    waiting = progress.waiting_for if state == "running" else ()
    return StudyStatus(
        study=study.name,
        wanted=launch.wanted if launch else "",
        run=run,
        state=state,
        waiting_for=waiting,
        waiting_kind=progress.waiting_kind if waiting else "",
        waiting_since=progress.waiting_since if waiting else None,
        to_come=to_come,
        rounds=sum(stage.all_rounds for stage in study.stages),
        centers=_centers(directory, study, progress, nodes, waiting, now),
        metrics=tuple(TASKS[task].primary for task in study.tasks),
        notes=notes,
        **{name: getattr(progress, name) for name in COPIED},
    )


def _centers(
    directory: StudyDirectory,
    study: Study,
    progress: RunProgress,
    nodes: Mapping[str, RegisteredNode] | None,
    waiting: Sequence[str],
    now: datetime,
) -> tuple[CenterStatus, ...]:
    members = Enrolment(directory).registry.members
    return tuple(
        CenterStatus(
            name=name,
            enrolled=members[name].state_at(now) if name in members else "not invited",
            online=None if nodes is None else name in nodes and nodes[name].online,
            last_seen=nodes[name].last_seen if nodes and name in nodes else None,
            waited_for=name in waiting,
            last=progress.centers.get(name),
            since=nodes[name].since if nodes and name in nodes else None,
            silent_since=silent_since(nodes[name], now) if nodes and name in nodes else None,
        )
        for name in study.centers
    )


def tables(status: StudyStatus, now: datetime) -> Group:
    """The status for people."""
    facts = Table(show_header=False, title=f"study {escape(status.study)}")
    for key, value in _facts(status, now):
        facts.add_row(key, escape(value))
    scores = f"validation {' / '.join(metric_named(metric).label for metric in status.metrics)}"
    centers = Table("center", "enrolled", "connected", "last seen", "round", "last answer", "loss", scores)
    for center in status.centers:
        centers.add_row(*(escape(text) for text in _row(center, now, status.metrics)))
    return Group(facts, centers, *(f"! {escape(note)}" for note in status.all_notes))


def _facts(status: StudyStatus, now: datetime) -> list[tuple[str, str]]:
    run = status.run
    rows = [("wanted", status.wanted or "not launched yet")]
    rows.append(("run", f"{run.run_id} {run.status}{f' ({run.details})' if run.details else ''}" if run else "-"))
    rows.append(
        ("study", f"{status.state or 'not begun'}{f' ({status.code}): {status.reason}' if status.code else ''}")
    )
    stage = f"{status.stage} {status.stage_round}/{status.stage_rounds}" if status.stage else "-"
    rows.append(("stage and its round", stage))
    rows.append(("completed rounds", f"{status.server_round}/{status.rounds}"))
    if status.to_come:
        rows.append(("stages to come", ", ".join(status.to_come)))
    rows.append(("waiting for", _waiting_text(status, now)))
    return rows


def _waiting_text(status: StudyStatus, now: datetime) -> str:
    """Who is waited for, what they were asked, and since when."""
    if not status.waiting_for:
        return "-"
    what = ASKED.get(status.waiting_kind, status.waiting_kind)
    since = f", asked {ago(now - status.waiting_since)}" if status.waiting_since else ""
    return f"{', '.join(status.waiting_for)}{f': {what}{since}' if what else since}"


def _row(center: CenterStatus, now: datetime, metrics: Sequence[str]) -> tuple[str, ...]:
    last = center.last
    there = {True: "online", False: "offline", None: "unknown"}[center.online]
    if center.silent_since:
        there = f"silent for {(now - center.silent_since).total_seconds():.0f} s"
    return (
        center.name,
        center.enrolled,
        there,
        "-" if center.last_seen is None else ago(now - center.last_seen),
        str(last.server_round) if last else "-",
        "waiting" if center.waited_for else (last.error or "ok") if last else "-",
        last.loss_text if last else "-",
        _scores_text(last, metrics) if last else "-",
    )


def _scores_text(last: CenterProgress, metrics: Sequence[str]) -> str:
    """The last scores of a center, with what they are where a study has several tasks."""
    named = len(metrics) > 1 and last.metric
    return f"{metric_named(last.metric).label} {last.scores_text}" if named else last.scores_text


def _ask(control: Link) -> tuple[Sequence[Run], dict[str, RegisteredNode] | None, tuple[str, ...]]:
    try:
        return control.runs(), {node.name: node for node in control.nodes()}, ()
    except ConciliumError as error:
        return (), None, (f"{error}. What follows is what the directory says",)


def _pending(runs: Sequence[Run], alarms: Sequence[str], now: datetime) -> tuple[str, ...]:
    """A run that nothing has taken yet; not where the watchdog's alarm says so."""
    if not runs or runs[-1].status != "pending":
        return ()
    what = f"run {runs[-1].run_id} is pending"
    if any(alarm.startswith(what) for alarm in alarms):
        return ()
    late = "; no SuperExec takes it: look into logs/superexec.log" if stuck_for_s(runs[-1], now) else ""
    return (f"{what}{late}",)


def _alarms(directory: StudyDirectory, now: datetime) -> tuple[str, ...]:
    """The watchdog's alarms, or that it is silent; a full disk, on which it can tell nobody, is named in any case."""
    watchdog = read_watchdog(directory)
    silent_s = float("inf") if watchdog is None else (now - watchdog.alive_at).total_seconds()
    alarms = () if watchdog is None or silent_s > WATCHDOG_SILENT_S else watchdog.alarms
    told = silent_s <= WATCHDOG_LATE_S or any(alarm.startswith(DISK) for alarm in alarms)
    if not told and (room := look_at(directory)).is_full:
        return (*disk_alarms(room), *alarms)
    if silent_s > WATCHDOG_SILENT_S:
        return ("no watchdog watches this study; start `concilium serve` or `concilium watchdog`",)
    return alarms


def ago(elapsed: timedelta) -> str:
    """How long ago, in the largest unit that fits."""
    seconds = max(elapsed.total_seconds(), 0)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value
