"""What centers, adapters and arms may be called: each name is a folder on somebody's disk."""

import re
from typing import Annotated

from pydantic import AfterValidator

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def _check_center(text: str) -> str:
    if not NAME.fullmatch(text):
        raise ValueError(f"'{text}' is no name of a center: letters, digits, '.', '_' and '-', at most 64")
    return text


CenterName = Annotated[str, AfterValidator(_check_center)]
