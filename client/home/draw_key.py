"""What a center's draws come from: a key of its own, so that nobody else knows which case trained in which step.

HOME/draws.key     32 bytes, mode 0600, drawn when the trainer first starts; the word `public` makes the center draw as
                   `concilium simulate` does, from the study's seed alone, so that both end with the same hashes
"""

import secrets
from pathlib import Path

from protocol.errors import StorageError
from protocol.storage.atomic_files import provide_private

NAME = "draws.key"
KEY_BYTES = 32
PUBLIC_WORD = b"public"
PUBLIC = b""
"""The key of draws that everybody can repeat: of centers that are simulated on one machine."""


def provide_draw_key(home: Path) -> bytes:
    """The key in a trainer's home, drawn when there is none yet; PUBLIC where the center asks for that.

    Raises:
        StorageError: the disk refuses, or what lies there is no key.
    """
    path = home / NAME
    found = provide_private(path, secrets.token_bytes(KEY_BYTES))
    if found.strip() == PUBLIC_WORD:
        return PUBLIC
    if len(found) != KEY_BYTES:
        raise StorageError(
            f"{path} has {len(found)} bytes, expected {KEY_BYTES}; remove it, and the trainer draws another"
        )
    return found
