"""Bars on the error stream of a terminal that commands show while they read; they leave nothing behind."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from client.data.scan_progress import ScanProgress


@contextmanager
def show_cases(console: Console | None = None) -> Iterator[ScanProgress]:
    """A bar over the cases of a data folder, moved by what a scan tells."""
    with _open_bar("reading cases", console) as (progress, bar):

        def tell(read: int, cases: int) -> None:
            progress.update(bar, completed=read, total=cases)

        yield tell


@contextmanager
def show_files(description: str, console: Console | None = None) -> Iterator[Callable[[int], None]]:
    """A count of files, of which nobody knows how many there are."""
    with _open_bar(description, console) as (progress, bar):

        def tell(read: int) -> None:
            progress.update(bar, completed=read)

        yield tell


@contextmanager
def _open_bar(description: str, console: Console | None) -> Iterator[tuple[Progress, TaskID]]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    shown = console or Console(stderr=True)
    quiet = not shown.is_terminal
    with Progress(*columns, TimeElapsedColumn(), console=shown, transient=True, disable=quiet) as progress:
        yield progress, progress.add_task(description, total=None)
