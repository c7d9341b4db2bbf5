"""JSON objects that carry a SHA-256 of their own content, so that a damaged byte is noticed when they are read.

A seal shows damage. It keeps nobody from writing another one who may write the file.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from protocol.errors import BankError
from protocol.storage.parsed_text import parse_json
from protocol.storage.regular_files import read_whole

SEAL = "seal"


def seal(content: Mapping[str, Any]) -> bytes:
    """`content` as an indented JSON object with one more key, `seal`; equal content gives equal bytes."""
    return (json.dumps({**content, SEAL: _digest(content)}, indent=1, allow_nan=False) + "\n").encode()


def unseal(data: bytes) -> dict[str, Any]:
    """The content that `seal` wrote, without its seal.

    Raises:
        ValueError: the bytes are no JSON object with a seal, or do not match it.
    """
    content = parse_json(data)
    if not isinstance(content, dict) or SEAL not in content:
        raise ValueError(f"expected a JSON object with '{SEAL}'")
    return _without_seal(content)


def unseal_if_sealed(data: bytes) -> Any:
    """`unseal`, but what has no seal is taken as it is: an earlier version wrote it.

    Raises:
        ValueError: the bytes are no JSON, or do not match their seal.
    """
    content = parse_json(data)
    return _without_seal(content) if isinstance(content, dict) and SEAL in content else content


def read_sealed(path: Path) -> dict[str, Any]:
    """The content of a file of an adapter bank that `seal` made, without its seal.

    Raises:
        BankError: the file is missing, is not JSON, or does not match its seal.
    """
    try:
        return unseal(read_whole(path))
    except FileNotFoundError as error:
        raise BankError(f"{path} is missing; restore it from a copy of the bank") from error
    except (OSError, ValueError, TypeError) as error:
        raise BankError(f"{path} is damaged ({error}); restore it from a copy of the bank") from error


def _without_seal(sealed: Mapping[str, Any]) -> dict[str, Any]:
    content = {key: value for key, value in sealed.items() if key != SEAL}
    found = _digest(content)
    if found != sealed[SEAL]:
        raise ValueError(f"it was changed: content {found}, seal {sealed[SEAL]}")
    return content


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()
