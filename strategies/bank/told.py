"""What a bank tells before it writes or removes: the name of an event, and the facts of it.

`bank`, `backbone`, `backbone_removed`, `version`, `head`, `tombstone`, `router`.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from strategies.bank.entry import Entry

Tell = Callable[[str, Mapping[str, Any]], None]

EVERY_FILE: Mapping[str, Any] = {"every_file": True}
"""Of a `bank` that tells of each file from then on; before, backbones, router and files of versions had no event."""


def tell_nobody(_event: str, _facts: Mapping[str, Any]) -> None:
    """Of a bank that no log goes with."""


def naming(entry: Entry) -> dict[str, Any]:
    """Which version an event is about."""
    return {"adapter": entry.name, "version": entry.version, "reference": entry.reference, "sha256": entry.sha256}


def digests(files: Mapping[str, bytes], entry_file: str) -> dict[str, Any]:
    """What an event says of the files of a version: name -> SHA-256, and that of its entry."""
    return {"entry_sha256": digest(files[entry_file]), "files": {name: digest(files[name]) for name in sorted(files)}}


def digest(data: bytes) -> str:
    """SHA-256 of what is about to be written, as hex."""
    return hashlib.sha256(data).hexdigest()
