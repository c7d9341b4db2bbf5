"""What is left of a version whose tensors were taken out of use for good: its entry, and why the tensors are gone.

ROOT/adapters/<name>/<version>/    entry.json as it was, tombstone.json; no tensors and no configuration
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from protocol.storage.atomic_files import write_private
from protocol.storage.sealed_json import read_sealed, seal

TOMBSTONE_FILE = "tombstone.json"


@dataclass(frozen=True)
class Tombstone:
    """Why a version is no more: the center that withdrew, and whether it was its own or held what it contributed."""

    center: str
    reason: str


def tombstone_bytes(tombstone: Tombstone) -> bytes:
    """What `tombstone.json` holds."""
    return seal(asdict(tombstone))


def read_tombstone(folder: Path) -> Tombstone | None:
    """The tombstone of a version; None of one that is in the bank whole.

    Raises:
        BankError: it is damaged.
    """
    path = folder / TOMBSTONE_FILE
    return Tombstone(**read_sealed(path)) if path.exists() else None


def put_tombstone(folder: Path, tombstone: Tombstone, keep: str) -> None:
    """Write the tombstone of a version, then remove everything beside it but the file `keep`.

    Done again after a kill, it removes what is left.

    Raises:
        StorageError: the tombstone cannot be written.
        OSError: something cannot be removed.
    """
    if read_tombstone(folder) is None:
        write_private(folder / TOMBSTONE_FILE, tombstone_bytes(tombstone))
    for path in _others(folder, keep):
        path.rmdir() if path.is_dir() else path.unlink()


def _others(folder: Path, keep: str) -> Iterator[Path]:
    """Files and folders but those two, the inner ones first."""
    kept = {folder / keep, folder / TOMBSTONE_FILE}
    yield from sorted((path for path in folder.rglob("*") if path not in kept), reverse=True)
