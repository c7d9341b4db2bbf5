"""JSON objects that carry a SHA-256 of their own content, so that a damaged byte is noticed when they are read."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from protocol.errors import BankError
from protocol.storage.parsed_text import parse_json


def seal(content: Mapping[str, Any]) -> bytes:
    """`content` as an indented JSON object with one more key, `seal`; equal content gives equal bytes."""
    return (json.dumps({**content, "seal": _digest(content)}, indent=1, allow_nan=False) + "\n").encode()


def read_sealed(path: Path) -> dict[str, Any]:
    """The content of a file that `seal` made, without its seal.

    Raises:
        BankError: the file is missing, is not JSON, or does not match its seal.
    """
    try:
        content = parse_json(path.read_bytes())
        expected = content.pop("seal")
        found = _digest(content)
    except FileNotFoundError as error:
        raise BankError(f"{path} is missing; restore it from a copy of the bank") from error
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise BankError(f"{path} is damaged and cannot be read ({error}); restore it from a copy") from error
    if found != expected:
        raise BankError(f"{path} was changed: content {found}, seal {expected}; restore it from a copy")
    return dict(content)


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()
