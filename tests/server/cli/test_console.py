"""What the commands share."""

import pytest
import typer
from typer.testing import CliRunner

from protocol.errors import StudyError
from server.cli.console import PIPED_WIDTH, MessageGroup, wide_console


def test_an_error_of_ours_is_one_line_with_its_code() -> None:
    app = typer.Typer(cls=MessageGroup)

    @app.callback()
    def start() -> None:
        """Two levels, as the real program has."""

    @app.command("fail")
    def fail() -> None:
        raise StudyError("no such study")

    result = CliRunner().invoke(app, ["fail"])
    assert (result.exit_code, result.stderr) == (1, "error (study): no such study\n")


def test_a_table_in_a_pipe_is_as_wide_as_its_rows(capsys: pytest.CaptureFixture[str]) -> None:
    wide_console().print("x" * 200)
    assert wide_console().width == PIPED_WIDTH
    assert capsys.readouterr().out == "x" * 200 + "\n"


def test_brackets_in_a_message_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    wide_console().print("[centers.a]")
    assert capsys.readouterr().out == "[centers.a]\n"
