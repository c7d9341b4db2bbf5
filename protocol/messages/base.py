"""What every table of settings is built on."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

Fraction = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


LARGEST_INTEGER = 2**63 - 1
"""Of settings: what TOML promises to keep, and torch and NumPy can take."""


class Settings(BaseModel):
    """Base of every settings table: frozen, unknown keys, non-finite numbers and integers beyond 64 bits refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _integers_fit(cls, value: Any) -> Any:
        if any(abs(found) > LARGEST_INTEGER for found in _integers(value)):
            raise ValueError(f"an integer must be from -{LARGEST_INTEGER} to {LARGEST_INTEGER}")
        return value


def is_absent(table: object) -> bool:
    """Whether a table that a study need not have is left out."""
    return table is None


def _integers(value: Any) -> Iterator[int]:
    """The integers of a value and of the tuples and dictionaries in it; tables in it see to their own."""
    if isinstance(value, int):
        yield value
    elif isinstance(value, dict):
        for entry in value.values():
            yield from _integers(entry)
    elif isinstance(value, tuple):
        for entry in value:
            yield from _integers(entry)
