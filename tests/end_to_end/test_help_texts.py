"""The help of every command is shown as it was written: brackets are no markup, and no sentence has a hole."""

import re
from collections.abc import Iterator

import click
import pytest
import typer
from rich.text import Text

import deploy.center.cli
import deploy.coordinator.cli

PROGRAMS = {"concilium": deploy.coordinator.cli.app, "concilium-center": deploy.center.cli.app}


def texts(name: str, command: click.Command) -> Iterator[tuple[str, str]]:
    """Command -> its help, then that of each of its options, and of all commands below."""
    yield name, command.help or ""
    for parameter in command.params:
        yield f"{name} {parameter.name}", getattr(parameter, "help", None) or ""
    for below, other in getattr(command, "commands", {}).items():
        yield from texts(f"{name} {below}", other)


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_texts_are_shown_whole(program: str) -> None:
    found = dict(texts(program, typer.main.get_command(PROGRAMS[program])))
    assert len(found) > 20
    swallowed = {name: text for name, text in found.items() if Text.from_markup(text).plain != text.replace("\\[", "[")}
    assert swallowed == {}
    assert {name: text for name, text in found.items() if re.search(r"\S  +\S", text)} == {}
