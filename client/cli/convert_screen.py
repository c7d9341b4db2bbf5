"""How far a conversion is, on standard error: files looked at, then a bar over the cases; live on a terminal alone."""

from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from client.cli.interruption import StopNote
from client.convert.case_conversion import Outcome

LINE_EVERY = 10
"""Where no terminal is, a line for every so many cases."""


class ConvertScreen:
    """Shows what it is told while its context is open; `stop` says whether the user wants to stop."""

    def __init__(self, console: Console | None = None) -> None:
        self.stop = StopNote()
        self._console = console or Console(stderr=True)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._files = self._progress.add_task("files looked at", total=None)
        self._cases = self._progress.add_task("cases", total=None, visible=False)
        self._ended = self._total = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def end(self) -> None:
        """Take the display away, before other lines are printed."""
        self._progress.stop()

    def index(self, files: int) -> None:
        """So many files were looked at."""
        self._progress.update(self._files, completed=files)

    def begin(self, cases: int) -> None:
        """So many cases are to be converted."""
        self._total = cases
        self._progress.update(self._files, visible=False)
        self._progress.update(self._cases, total=cases, visible=True)
        self._tell(f"{cases} case(s) to convert")

    def finish(self, outcome: Outcome) -> None:
        """One of them ended."""
        self._ended += 1
        wish = "stopping after the cases under way; once more to stop at once" if self.stop else "cases"
        self._progress.update(self._cases, advance=1, description=wish)
        if outcome.state == "failed":
            self._console.print(f"{outcome.case} failed", markup=False, highlight=False)
        if self._ended % LINE_EVERY == 0 or self._ended == self._total:
            self._tell(f"{self._ended} of {self._total} case(s)")

    def stopped(self) -> bool:
        """Whether the user wants to stop."""
        return bool(self.stop)

    def _tell(self, line: str) -> None:
        if not self._console.is_terminal:
            self._console.print(line, markup=False, highlight=False)
