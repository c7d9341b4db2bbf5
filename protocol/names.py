"""What centers, adapters and arms may be called: each name is a folder on somebody's disk."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from protocol.plain_text import shown

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
ENDPOINT = re.compile(r"[a-z][a-z0-9_]{0,31}")
"""What endpoints and covariates may be called: they are part of the names of columns, tensors and metrics."""


def _check_center(text: str) -> str:
    if not NAME.fullmatch(text):
        raise ValueError(f"'{shown(text, 64)}' is no name of a center: letters, digits, '.', '_' and '-', at most 64")
    return text


def _check_center_if_any(text: str) -> str:
    return text and _check_center(text)


CenterName = Annotated[str, AfterValidator(_check_center)]
OptionalCenterName = Annotated[str, Field(max_length=64), AfterValidator(_check_center_if_any)]
"""A center's name, or none: a process without data answers without one."""
