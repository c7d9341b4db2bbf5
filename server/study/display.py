"""A live display of a running study with rich: a bar over all rounds, a line a center and round, a table a stage."""

from collections.abc import Sequence
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column, Table
from rich.text import Text

from protocol.messages.suppression import NOTHING_SUPPRESSED, OF_TENSORS, figure_name, state_of
from protocol.modalities import SETTINGS, ModalitySetting
from protocol.tasks import TASKS, Metric, TaskName
from reporting.formats import ABSENT, FAILED, UNDEFINED, WITHHELD, figure, heading, number
from server.study.events import (
    CenterAnswered,
    Event,
    Extended,
    GateDecided,
    LateFound,
    Resumed,
    RolledBack,
    RoundStarted,
    ScoringStarted,
    StageScored,
)
from server.study.file import Study
from server.study.history import GateRecord, LateRecord, RollbackRecord, RoundRecord, Scores, StageRow


class Display:
    """Shows what `listen` is told, while its context is open."""

    def __init__(self, study: Study, console: Console) -> None:
        self._study, self._console = study, console
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        )
        self._task = self._progress.add_task(study.name, total=sum(stage.all_rounds for stage in study.stages))
        self._waiting = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def listen(self, event: Event) -> None:
        """Show one event."""
        match event:
            case Resumed(server_round):
                self._resume(server_round)
            case RoundStarted(stage, number, centers):
                self._waiting = len(centers)
                self._progress.update(self._task, description=f"{stage.name} {number}/{stage.all_rounds}")
            case CenterAnswered(record):
                self._say(round_line(record, self._study.judged_by(record.stage)))
                self._count_answer()
            case RolledBack(record):
                self._console.print(rollback_line(record))
            case GateDecided(record):
                self._say(gate_line(record))
            case ScoringStarted(stage_name, centers):
                self._progress.update(self._task, description=f"{stage_name}: test cases of {len(centers)} centers")
            case StageScored(row):
                for task in self._study.tasks:
                    self._console.print(score_table(f"after {row.stage}", row, task))
            case LateFound(record):
                self._say_late(record)
            case _:
                self._extend(event)

    def _extend(self, event: Event) -> None:
        """More rounds, and names of more stages, where that is what the event tells."""
        if isinstance(event, Extended):
            stages = event.study.stages
            self._study = event.study
            self._say(f"the study was extended: its stages are {', '.join(stage.name for stage in stages)}")
            self._progress.update(self._task, total=sum(stage.all_rounds for stage in stages))

    def _say_late(self, record: LateRecord) -> None:
        if record.fate == "set-aside":
            self._say(late_line(record))

    def _say(self, line: str) -> None:
        """A line as it stands: names and codes are nothing that the screen may act on."""
        self._console.print(line, markup=False, emoji=False)

    def _resume(self, server_round: int) -> None:
        """Start the bar where the study stands."""
        if server_round:
            self._say(f"resumed after round {server_round}")
        self._progress.update(self._task, completed=server_round)

    def _count_answer(self) -> None:
        """Move the bar when the last center of a round is in."""
        self._waiting -= 1
        if self._waiting == 0:
            self._progress.advance(self._task)


def round_line(record: RoundRecord, metric: Metric) -> str:
    """One center's round judged by a metric, with its error in place of the loss where it has one."""
    held = {name for name in SETTINGS if figure_name(name, metric.name) in record.suppressed}
    told = [name for name in SETTINGS if name in record.validation or name in held]
    scores = "  ".join(
        f"{name} {WITHHELD if name in held else figure(record.validation[name].value(metric.name), metric.decimals)}"
        for name in told
    )
    stay = [name.removeprefix(OF_TENSORS) for name in record.suppressed if name.startswith(OF_TENSORS)]
    without = f"  tensors of {', '.join(stay)} {WITHHELD}" if stay else ""
    what = record.error or _loss_text(record)
    return (
        f"{record.server_round:3d} {record.stage:<10} {record.center:<12} {what:<14} "
        f"validation {metric.label} {scores or (FAILED if record.error else ABSENT)}  {record.seconds:.0f} s{without}"
    )


def _loss_text(record: RoundRecord) -> str:
    if "loss" in record.suppressed:
        return f"loss {WITHHELD}"
    return "no loss" if record.loss is None else f"loss {number(record.loss, '.3f')}"


def gate_line(record: GateRecord) -> str:
    """What became of a candidate, and why."""
    verdict = record.verdict
    kept = f"; kept by {', '.join(record.branches)}" if record.branches else ""
    spared = f", {', '.join(record.kept)} keep(s) the former one" if record.kept else ""
    what = f"shared{spared}" if verdict.promoted else f"not shared{kept}"
    held = f"; comparisons withheld by {', '.join(record.withheld)}" if record.withheld else ""
    return f"gate: the adapter of stage {record.stage} is {what} ({verdict.reason}){held}"


def rollback_line(record: RollbackRecord) -> str:
    """A round that was undone, and how its updates lay to each other."""
    falls = ", ".join(f"{center} {figure(fall, 3)}" for center, fall in record.falls.items())
    sides = ", ".join(f"{center} {figure(cosine, 2)}" for center, cosine in record.directions.items())
    beside = f"; directions in round {record.restored_round + 1}: {sides}" if sides else ""
    return (
        f"{record.server_round:3d} {record.stage:<10} undone: the state after round {record.restored_round} is "
        f"restored, scores had fallen by {falls}{beside}"
    )


def late_line(record: LateRecord) -> str:
    """An update that came after its round."""
    return (
        f"{record.server_round:3d} {record.stage:<10} {record.center:<12} late, set aside in round "
        f"{record.found_in_round}"
    )


def score_table(title: str, row: StageRow, task: TaskName) -> Table:
    """The main test scores of every center in one task: withheld, failed, undefined and absent stay apart."""
    metrics = TASKS[task].main
    shown = heading((metric.label, metric.unit) for metric in metrics)
    held = [found.scores for found in row.suppressed.values()]
    settings = [name for name in SETTINGS if any(name in found for found in (*row.test.values(), *held))]
    table = Table(Column("center", no_wrap=True), "cases", *settings, title=Text(f"{title}: {shown}"))
    without: dict[str, Scores] = {center: {} for center in row.errors}
    for center, scores in {**without, **row.test}.items():
        cases = max((found.cases for found in scores.values()), default=0)
        count = WITHHELD if not scores and center in row.suppressed else str(cases)
        table.add_row(Text(center), count, *(_both(row, center, name, metrics) for name in settings))
    return table


def _both(row: StageRow, center: str, setting: ModalitySetting, metrics: Sequence[Metric]) -> str:
    """The main figures of a center under one setting; one word where the same is true of all."""
    texts = [_one(row, center, setting, metric) for metric in metrics]
    return texts[0] if set(texts) in ({ABSENT}, {FAILED}, {WITHHELD}) else " / ".join(texts)


def _one(row: StageRow, center: str, setting: ModalitySetting, metric: Metric) -> str:
    scores, held = row.test.get(center, {}), row.suppressed.get(center, NOTHING_SUPPRESSED)
    match state_of(scores, held, setting, metric.name):
        case "known":
            return figure(scores[setting].value(metric.name), metric.decimals)
        case "suppressed":
            return WITHHELD
        case "undefined":
            return UNDEFINED
        case "absent":
            return FAILED if row.errors.get(center) else ABSENT
