"""What a running study shows: the events it reports, and a live display of them with rich."""

from collections.abc import Sequence
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from protocol.messages.reply import Score
from protocol.messages.settings import SETTINGS
from server.study.file import Stage, Study
from server.study.history import GateRecord, LateRecord, RoundRecord, StageRow


class Listener:
    """Hears what a study does; this one keeps it to itself."""

    def resumed(self, server_round: int) -> None:
        """The study continues after this many completed rounds."""

    def round_started(self, stage: Stage, number: int, centers: Sequence[str]) -> None:
        """Round `number` of a stage, from 1, goes out."""

    def center_answered(self, record: RoundRecord) -> None:
        """One center's round is in."""

    def gate_decided(self, record: GateRecord) -> None:
        """The no-harm gate has let a stage's candidate through, or not."""

    def scoring_started(self, stage: str, centers: Sequence[str]) -> None:
        """The centers score their test cases after a stage."""

    def stage_scored(self, row: StageRow) -> None:
        """A row of the evaluation matrix is complete."""

    def round_kept(self, server_round: int) -> None:
        """So many rounds are completed and on the disk."""

    def late_found(self, record: LateRecord) -> None:
        """What became of an update that missed its round is known."""

    def ended(self, error: BaseException | None) -> None:
        """The study has come to its end, or to an early one by `error`."""


class Listeners(Listener):
    """Tells several listeners, in their order."""

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = listeners

    def resumed(self, server_round: int) -> None:
        """Pass it on."""
        for listener in self._listeners:
            listener.resumed(server_round)

    def round_started(self, stage: Stage, number: int, centers: Sequence[str]) -> None:
        """Pass it on."""
        for listener in self._listeners:
            listener.round_started(stage, number, centers)

    def center_answered(self, record: RoundRecord) -> None:
        """Pass it on."""
        for listener in self._listeners:
            listener.center_answered(record)

    def gate_decided(self, record: GateRecord) -> None:
        """Pass it on."""
        for listener in self._listeners:
            listener.gate_decided(record)

    def scoring_started(self, stage: str, centers: Sequence[str]) -> None:
        """Pass it on."""
        for listener in self._listeners:
            listener.scoring_started(stage, centers)

    def stage_scored(self, row: StageRow) -> None:
        """Pass it on."""
        for listener in self._listeners:
            listener.stage_scored(row)

    def round_kept(self, server_round: int) -> None:
        """Pass it on."""
        for listener in self._listeners:
            listener.round_kept(server_round)

    def late_found(self, record: LateRecord) -> None:
        """Pass it on."""
        for listener in self._listeners:
            listener.late_found(record)

    def ended(self, error: BaseException | None) -> None:
        """Pass it on."""
        for listener in self._listeners:
            listener.ended(error)


class Display(Listener):
    """A bar over all rounds, a line per center and round, a table per stage."""

    def __init__(self, study: Study, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
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

    def resumed(self, server_round: int) -> None:
        """Start the bar where the study stands."""
        if server_round:
            self._console.print(f"resumed after round {server_round}")
        self._progress.update(self._task, completed=server_round)

    def round_started(self, stage: Stage, number: int, centers: Sequence[str]) -> None:
        """Say which round is under way."""
        self._waiting = len(centers)
        self._progress.update(self._task, description=f"{stage.name} {number}/{stage.all_rounds}")

    def center_answered(self, record: RoundRecord) -> None:
        """One line a center; the bar moves when the last one is in."""
        what = record.error or f"loss {record.loss:.3f}" if record.loss is not None else record.error or "no loss"
        scores = "  ".join(f"{name} {_dice(score)}" for name, score in record.validation.items())
        self._console.print(
            f"{record.server_round:3d} {record.stage:<10} {record.center:<12} {what:<14} "
            f"validation Dice {scores or '-'}  {record.seconds:.0f} s"
        )
        self._waiting -= 1
        if self._waiting == 0:
            self._progress.advance(self._task)

    def gate_decided(self, record: GateRecord) -> None:
        """Say what became of the candidate, and why."""
        verdict = record.verdict
        kept = f"; kept by {', '.join(record.branches)}" if record.branches else ""
        what = "shared" if verdict.promoted else f"not shared{kept}"
        self._console.print(f"gate: the adapter of stage {record.stage} is {what} ({verdict.reason})")

    def scoring_started(self, stage: str, centers: Sequence[str]) -> None:
        """Say that test cases are being scored."""
        self._progress.update(self._task, description=f"{stage}: test cases of {len(centers)} centers")

    def late_found(self, record: LateRecord) -> None:
        """One line for an update that came after its round."""
        if record.fate == "set-aside":
            self._console.print(
                f"{record.server_round:3d} {record.stage:<10} {record.center:<12} late, set aside in round "
                f"{record.found_in_round}"
            )

    def stage_scored(self, row: StageRow) -> None:
        """Show the new row of the evaluation matrix."""
        self._console.print(score_table(f"after {row.stage}", row))


def score_table(title: str, row: StageRow) -> Table:
    """Per-center test scores of one stage; undefined stays undefined."""
    settings = [name for name in SETTINGS if any(name in scores for scores in row.test.values())]
    table = Table(Column("center", no_wrap=True), "cases", *settings, title=f"{title}: Dice / HD95 in mm")
    for center, scores in row.test.items():
        cases = max((score.cases for score in scores.values()), default=0)
        table.add_row(center, str(cases), *(_both(scores.get(name)) for name in settings))
    return table


def _both(score: Score | None) -> str:
    return "-" if score is None else f"{_dice(score)} / {_millimeters(score)}"


def _dice(score: Score | None) -> str:
    if score is None:
        return "-"
    return "undefined" if score.dice is None else f"{score.dice:.3f}"


def _millimeters(score: Score) -> str:
    return "undefined" if score.hd95_mm is None else f"{score.hd95_mm:.1f}"
