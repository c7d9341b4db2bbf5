"""Bars count what they are told."""

from io import StringIO

from rich.console import Console

from client.cli.progress_bars import show_cases, show_files


def test_cases_are_counted_with_how_many_there_are() -> None:
    console = Console(file=StringIO(), width=100, force_terminal=True)
    with show_cases(console) as tell:
        tell(2, 7)
    assert "reading cases" in (shown := console.file.getvalue())  # type: ignore[attr-defined]
    assert "2/7" in shown


def test_files_are_counted_without_an_end() -> None:
    console = Console(file=StringIO(), width=100, force_terminal=True)
    with show_files("reading and comparing", console) as tell:
        tell(31)
    assert "reading and comparing" in (shown := console.file.getvalue())  # type: ignore[attr-defined]
    assert "31/?" in shown


def test_a_pipe_gets_nothing() -> None:
    console = Console(file=StringIO(), width=100, force_terminal=False)
    with show_cases(console) as tell:
        tell(2, 7)
    assert console.file.getvalue() == ""  # type: ignore[attr-defined]
