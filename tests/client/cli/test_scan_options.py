"""Commands that read scans are told what to read in the same words."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from client.cli import scan_options
from client.cli.fuse import fuse
from client.cli.predict import predict

SHARED = {name: option for name, option in vars(scan_options).items() if name.endswith(("Option", "Argument"))}


@pytest.mark.parametrize("command", [fuse, predict])
def test_every_shared_option_is_one_of_the_command(command: Callable[..., Any]) -> None:
    given = [parameter.annotation for parameter in inspect.signature(command).parameters.values()]
    assert {name for name, option in SHARED.items() if option not in given} == set()


def test_there_are_some_and_each_explains_itself() -> None:
    assert len(SHARED) == 13
    assert all(option.__metadata__[0].help.endswith((".", '"cuda".')) for option in SHARED.values())
