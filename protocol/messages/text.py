"""The part of a message that is no tensor, as one JSON text, and back: shared by every encoding.

A message is a frozen dataclass with `__pydantic_config__ = STRICT`. Building one is free and checks nothing; it is
checked whole when it is written and when it is read. An unknown, missing or wrongly typed field and a number that is
not finite are refused by name. Fields of type `Beside` hold tensors: they are never in the text, and their arrays are
neither walked nor copied.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Annotated, Any, TypeVar

from pydantic import ConfigDict, Field, PlainValidator, TypeAdapter, ValidationError, ValidationInfo

from protocol.errors import PayloadError
from protocol.messages.settings import findings
from protocol.messages.tensors import Tensors
from protocol.plain_text import LINE, shown

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, revalidate_instances="always")
"""Values inside are checked again when a message is written, so that no NaN turns into null unseen."""

MAXIMUM_TEXT, MAXIMUM_LINES = 1 << 20, 12
"""Characters of a message's text, whatever it is: settings of a study with hundreds of covariates take a tenth."""

T = TypeVar("T")

_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)


def _stay_beside(tensors: Tensors, info: ValidationInfo) -> Tensors:
    if info.mode == "json":
        raise ValueError("tensors travel beside the text, never in it")
    return tensors


Beside = Annotated[Tensors, Field(exclude=True), PlainValidator(_stay_beside)]


def to_text(message: Any) -> str:
    """Everything of a message but its tensors.

    Raises:
        PayloadError: a field has the wrong type or is not finite; names the field.
    """
    adapter = _adapter(type(message))
    try:
        return adapter.dump_json(adapter.validate_python(message)).decode()
    except ValidationError as error:
        whose = f" of center '{message.center}'" if hasattr(message, "center") else ""
        raise _refusal(f"{_name(type(message))}{whose}", findings(error, "text")) from error


def from_text(kind: type[T], text: str, at_most: int = MAXIMUM_TEXT) -> T:
    """The message that `to_text` wrote, still without its tensors; a longer text than `at_most` is not parsed.

    Raises:
        PayloadError: a field is missing, unknown, has the wrong type or is not finite; names the field.
    """
    if len(text) > at_most:
        raise PayloadError(f"{_name(kind)}: its text has {len(text)} characters, expected at most {at_most}")
    try:
        message: T = _adapter(kind).validate_json(text)
    except ValidationError as error:
        raise _refusal(_name(kind), findings(error, "text")) from None
    if missing := list(_missing(message, json.loads(text))):
        raise _refusal(_name(kind), missing)
    return message


def parse_json(text: str | bytes) -> Any:
    """What a stranger's JSON text holds, whatever it is; nesting ends at a depth of 200, where pydantic's parser stops.

    Raises:
        ValueError: it is no JSON, or is nested deeper; says where.
    """
    try:
        return _adapter(Any).validate_json(text)
    except ValidationError as error:
        raise ValueError(error.errors(include_input=False, include_url=False)[0]["msg"]) from None


def _missing(message: Any, given: Mapping[str, Any], within: str = "") -> Iterator[str]:
    """Fields that the text leaves out: their defaults are for whoever builds a message, not for whoever sends one."""
    for field in fields(message):
        value = getattr(message, field.name)
        if field.name in given and is_dataclass(value):
            yield from _missing(value, given[field.name], f"{within}{field.name}.")
        elif field.name not in given and field.type is not Beside:
            yield f"{within}{field.name}: Field required"


def _name(kind: type) -> str:
    return kind.__name__.lower()


def _refusal(what: str, lines: list[str]) -> PayloadError:
    """One line a field; the offending values stay out, since they may be a center's own."""
    agreed = f"{what}: {len(lines)} field(s) not as agreed; do both sides run the same version?"
    more = [f"and {len(lines) - MAXIMUM_LINES} more"] if len(lines) > MAXIMUM_LINES else []
    return PayloadError("\n  ".join([agreed, *(shown(line, LINE) for line in lines[:MAXIMUM_LINES]), *more]))
