"""What a bank tells before it writes: `bank`, `backbone`, `version`, `head`, `tombstone`, or that a backbone goes."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from strategies.bank.entry import Entry

Tell = Callable[[str, Mapping[str, Any]], None]


def tell_nobody(_event: str, _facts: Mapping[str, Any]) -> None:
    """Of a bank that no log goes with."""


def naming(entry: Entry) -> dict[str, Any]:
    """Which version an event is about."""
    return {"adapter": entry.name, "version": entry.version, "reference": entry.reference, "sha256": entry.sha256}


def digest(data: bytes) -> str:
    """SHA-256 of what is about to be written, as hex."""
    return hashlib.sha256(data).hexdigest()
