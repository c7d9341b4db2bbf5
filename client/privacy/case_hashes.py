"""How patients stand in a center's privacy ledger: hashes under a key of the center, which never leaves.

    hash = HMAC-SHA256(key, name as `client.data.names.name_key` folds it), its first 32 hexadecimal digits

Both a case and its patient are hashed. So the same patients are found again where the data lie in another folder, and
also where the table that says whose a case is came later. Who has the file and not the key cannot try names.

    cases.key    32 bytes, mode 0600, drawn with the ledger's first entry; every entry carries its SHA-256
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from pathlib import Path

from client.data.block_file import RecordsError
from client.data.names import name_key
from protocol.storage.atomic_files import provide_private

KEY = "cases.key"
KEY_BYTES, DIGITS = 32, 32


def hash_names(key: bytes, names: Iterable[str]) -> frozenset[str]:
    """The keyed hashes of names of cases and patients."""
    return frozenset(
        hmac.new(key, name_key(name).encode(), hashlib.sha256).hexdigest()[:DIGITS] for name in names if name
    )


def digest_of(key: bytes) -> str:
    """What an entry says of the key that it was hashed with."""
    return hashlib.sha256(key).hexdigest()[:DIGITS]


def provide_key(folder: Path) -> bytes:
    """The key in a folder, drawn where there is none.

    Raises:
        RecordsError: what lies there is no key.
        StorageError: the disk refuses.
    """
    return _checked(folder / KEY, provide_private(folder / KEY, secrets.token_bytes(KEY_BYTES)))


def read_key(folder: Path) -> bytes | None:
    """The key in a folder; None where there is none.

    Raises:
        RecordsError: what lies there is no key.
        OSError: it cannot be read.
    """
    path = folder / KEY
    return _checked(path, path.read_bytes()) if path.exists() else None


def _checked(path: Path, key: bytes) -> bytes:
    if len(key) != KEY_BYTES:
        raise RecordsError(
            f"{path} has {len(key)} bytes, expected {KEY_BYTES}: without it earlier releases of the same patients are "
            "not found, and nothing of them leaves. Put it back from a backup of the home"
        )
    return key
