"""The blocks of a center's cases on its disk, for the life of its data set: `blocks.json`, sealed, for its owner alone.

Cases and patients stand in it as digests. It belongs to the data and not to a study: with it goes what earlier figures
stood on, and a center that loses it starts anew, without knowing what its old figures can be compared with.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from client.data.blocks import Block
from protocol.errors import BankError, ConciliumError
from protocol.storage.atomic_files import write_private
from protocol.storage.sealed_json import read_sealed, seal

BLOCKS = "blocks.json"
SCHEMA_VERSION = 1
DIGITS = 32


class RecordsError(ConciliumError):
    """What a center keeps of its earlier answers cannot be used, and no figure leaves until it can."""

    code = "records"


def digest(*parts: str) -> str:
    """How a case or a patient is known in the center's records."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:DIGITS]


def read_blocks(home: Path) -> tuple[Block, ...]:
    """The blocks made so far; none in a new home.

    Raises:
        RecordsError: the file is damaged or of another version.
    """
    path = home / BLOCKS
    if not path.exists():
        return ()
    content = read_records(path)
    try:
        return tuple(Block({str(case): str(patient) for case, patient in row.items()}) for row in content["blocks"])
    except (KeyError, AttributeError, TypeError) as error:
        raise RecordsError(_words(path, f"does not hold blocks ({error})")) from error


def write_blocks(home: Path, blocks: Sequence[Block]) -> None:
    """Keep the blocks; on the disk before a figure stands on them.

    Raises:
        StorageError: the disk refuses.
    """
    content = {"schema_version": SCHEMA_VERSION, "blocks": [dict(sorted(block.members.items())) for block in blocks]}
    write_private(home / BLOCKS, seal(content))


def read_records(path: Path) -> Mapping[str, Any]:
    """A sealed file of the center's records.

    Raises:
        RecordsError: it is damaged, or of another version.
    """
    try:
        content = read_sealed(path)
    except BankError as error:
        raise RecordsError(_words(path, f"cannot be trusted ({error})")) from error
    if content.get("schema_version") != SCHEMA_VERSION:
        raise RecordsError(_words(path, f"has schema {content.get('schema_version')!r}, expected {SCHEMA_VERSION}"))
    return content


def _words(path: Path, what: str) -> str:
    return (
        f"{path} {what}; it says which cases earlier figures of this center stood on, and no figure leaves without it. "
        "Put it back from a backup of the home"
    )
