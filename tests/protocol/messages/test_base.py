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
