"""One tree of errors, and the codes that may travel."""

import re
from pathlib import Path

import pytest

import client
from protocol.errors import OF_CENTERS, TRAINER_UNAVAILABLE, ConciliumError, error_codes, known_code


def test_error_codes_come_from_the_error_tree() -> None:
    assert {"failed", "cases", "model", "internal", "egress-refused", "unreadable"} <= error_codes()


def test_a_new_kind_of_error_has_its_code_among_them() -> None:
    class PlantedError(ConciliumError):
        code = "planted"

    assert PlantedError.code in error_codes()
    assert "no-answer" not in error_codes()


@pytest.mark.parametrize(
    "code", ["no-answer", "node-unavailable", "other-center", "[/x]", "\x1b[31m", "Cases", "cases\n", " "]
)
def test_what_no_center_may_say_is_an_unknown_error(code: str) -> None:
    assert known_code(code) == "unknown-error"


def test_a_known_code_and_none_stay() -> None:
    assert [known_code(code) for code in ("", "cases", TRAINER_UNAVAILABLE)] == ["", "cases", TRAINER_UNAVAILABLE]


def test_the_coordinator_knows_every_code_of_a_centers_program() -> None:
    """It cannot import the classes, so that their codes are listed; a class that is added needs its code there."""
    folder = Path(client.__file__).parent
    lines = re.findall(r'^    code = "([^"]+)"$', "".join(path.read_text() for path in folder.rglob("*.py")), re.M)
    assert {*lines, TRAINER_UNAVAILABLE} - {kind.code for kind in _below(ConciliumError)} <= OF_CENTERS
    assert {*lines, TRAINER_UNAVAILABLE} >= OF_CENTERS


def _below(error: type[ConciliumError]) -> set[type[ConciliumError]]:
    return {kind for kind in error.__subclasses__() if kind.__module__ == "protocol.errors"}
