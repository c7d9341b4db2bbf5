"""Progress goes to its console, in lines where that is no terminal."""

import io

from rich.console import Console

from client.cli.convert_screen import ConvertScreen
from client.cli.interruption import StopNote
from client.convert.case_conversion import Outcome
from client.data.conversion import Conversion


def _show(terminal: bool) -> str:
    text = io.StringIO()
    with ConvertScreen(Console(file=text, force_terminal=terminal, width=100)) as screen:
        screen.index(7)
        screen.begin(2)
        screen.finish(Outcome("case-a", "failed", Conversion("dicom", "test"), ()))
        screen.stop = StopNote(15)
        screen.finish(Outcome("case-b", "converted", Conversion("dicom", "test"), ()))
        assert screen.stopped()
        screen.end()
    return text.getvalue()


def test_a_pipe_gets_lines() -> None:
    assert _show(terminal=False).splitlines() == ["2 case(s) to convert", "case-a failed", "2 of 2 case(s)"]


def test_a_terminal_gets_a_bar() -> None:
    assert "stopping after the cases under way" in _show(terminal=True)
