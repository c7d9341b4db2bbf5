"""What a center's draws come from: a key of its own, so that nobody else knows which case trained in which step.

HOME/draws.key     32 bytes, mode 0600, drawn when the trainer first starts; the word `public` makes the center draw as
                   `concilium simulate` does, from the study's seed alone, so that both end with the same hashes
HOME/draws.sha256  SHA-256 of the key, so that a changed bit is noticed: a round that is repeated would draw others
"""

import hashlib
import secrets
from pathlib import Path

from protocol.errors import StorageError
from protocol.storage.atomic_files import provide_private

NAME, DIGEST_NAME = "draws.key", "draws.sha256"
KEY_BYTES = 32
PUBLIC_WORD = b"public"
PUBLIC = b""
"""The key of draws that everybody can repeat: of centers that are simulated on one machine."""


def provide_draw_key(home: Path) -> bytes:
    """The key in a trainer's home, drawn when there is none yet; PUBLIC where the center asks for that.

    Raises:
        StorageError: the disk refuses, or what lies there is no key, or another than that which was drawn.
    """
    path = home / NAME
    found = provide_private(path, secrets.token_bytes(KEY_BYTES))
    if found.strip() == PUBLIC_WORD:
        return PUBLIC
    if len(found) != KEY_BYTES:
        raise StorageError(
            f"{path} has {len(found)} bytes, expected {KEY_BYTES}; remove it and {DIGEST_NAME} beside it, and the "
            "trainer draws another"
        )
    _check_key(path, found)
    return found


def _check_key(path: Path, key: bytes) -> None:
    """Refuse a key that is not the one that was drawn.

    Raises:
        StorageError: names both digests.
    """
    digest = path.with_name(DIGEST_NAME)
    found = hashlib.sha256(key).hexdigest()
    expected = provide_private(digest, found.encode()).decode(errors="replace").strip()
    if found != expected:
        raise StorageError(
            f"{path} has SHA-256 {found[:12]}, {digest} says {expected[:12]}: one of them was changed. Restore both "
            "from a backup, or remove both: the trainer draws another key, and a round under way draws other cases"
        )
