"""The release, without a command."""

from importlib.metadata import version

from typer.testing import CliRunner

from client.cli.app import app


def test_the_release_is_shown_without_a_command() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"concilium {version('concilium')}, Flower {version('flwr')}\n")
