"""TOML and JSON that somebody wrote, parsed without trust: whatever is wrong with a text is one kind of error.

The parsers of Python raise RecursionError where a text is nested deeper than they can follow, and ValueError where a
whole number has more than 4,300 digits.
"""

import json
import tomllib
from pathlib import Path
from typing import Any

from protocol.storage.regular_files import open_regular

LARGEST_TEXT_BYTES = 16 << 20
"""A study file of a hundred centers has a thousandth of it."""
TOO_DEEP = "it is nested too deep"


class UnreadableTextError(ValueError):
    """A text that is not what it should be; the message says where, and quotes at most a key of it."""


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file.

    Raises:
        OSError: it is no regular file, or cannot be read.
        UnreadableTextError: it is larger than any study file, not UTF-8, or no TOML.
    """
    with open_regular(path) as file:
        data = file.read(LARGEST_TEXT_BYTES + 1)
    if len(data) > LARGEST_TEXT_BYTES:
        raise UnreadableTextError(f"it has more than {LARGEST_TEXT_BYTES} bytes")
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UnreadableTextError(f"it is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise UnreadableTextError(str(error)) from error
    except ValueError as error:
        raise UnreadableTextError("it has a number, a date or a time that cannot be") from error
    except RecursionError as error:
        raise UnreadableTextError(TOO_DEEP) from error


def parse_json(text: str | bytes) -> Any:
    """A JSON text.

    Raises:
        UnreadableTextError: it is none.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise UnreadableTextError(TOO_DEEP) from error
    except ValueError as error:
        raise UnreadableTextError(str(error)) from error
