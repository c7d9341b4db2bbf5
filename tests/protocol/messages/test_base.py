"""The base of every table of settings."""

import pytest
from pydantic import ValidationError

from protocol.messages.base import Fraction, Settings


class Example(Settings):
    """A table with one entry."""

    share: Fraction = 0.5


@pytest.mark.parametrize("content", [{"share": 1.5}, {"share": float("nan")}, {"other": 1}])
def test_what_is_unknown_or_out_of_bounds_is_refused(content: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Example.model_validate(content)


def test_a_table_does_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Example().share = 0.1


class Numbers(Settings):
    """A table with integers at every depth."""

    seed: int | None = 0
    columns: tuple[int, ...] = ()
    options: dict[str, int | tuple[int, ...]] = {}


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({"seed": 2**63}, "seed"),
        ({"seed": -(2**64)}, "seed"),
        ({"columns": (1, 10**22)}, "columns"),
        ({"options": {"heads": 2**63}}, "options"),
        ({"options": {"heads": (1, 2**63)}}, "options"),
    ],
)
def test_an_integer_of_more_than_64_bits_is_refused_by_the_name_of_its_field(content: object, field: str) -> None:
    with pytest.raises(ValidationError, match="an integer must be from -9223372036854775807 to") as found:
        Numbers.model_validate(content)
    assert [error["loc"] for error in found.value.errors()] == [(field,)]


def test_the_largest_integer_is_taken() -> None:
    assert Numbers.model_validate({"seed": 2**63 - 1}).seed == 2**63 - 1
