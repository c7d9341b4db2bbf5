"""The coordinator's commands, put together."""

from importlib.metadata import version

import typer
from click import Group
from typer.testing import CliRunner

from server.cli.app import app

VISIBLE = {
    *("bank", "study", "enroll", "revoke", "centers", "certificate"),
    *("launch", "resume", "stop", "status", "watchdog", "track", "mlflow-user"),
}


def commands() -> Group:
    found = typer.main.get_command(app)
    assert isinstance(found, Group)
    return found


def test_every_command_is_there_under_its_name() -> None:
    assert {name for name, command in commands().commands.items() if not command.hidden} >= VISIBLE


def test_the_earlier_name_of_the_watchdog_still_works_and_is_not_shown() -> None:
    found = commands().commands
    assert found["steward"].hidden
    assert found["steward"].callback is not None
    assert found["steward"].help == found["watchdog"].help


def test_the_releases_are_shown_without_a_command() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"concilium {version('concilium')}, Flower {version('flwr')}\n")


def test_the_bank_has_its_four_commands() -> None:
    bank = commands().commands["bank"]
    assert isinstance(bank, Group)
    assert set(bank.commands) == {"list", "show", "export", "rollback"}
