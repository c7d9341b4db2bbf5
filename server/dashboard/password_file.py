"""The password of the page's login: its scrypt hash in a file that only the account that serves can read.

h = scrypt(password, salt, N = 2^14, r = 8, p = 1), 32 bytes (RFC 7914; 16 MB and some 50 ms a try)
"""

import hashlib
import secrets
from hmac import compare_digest
from pathlib import Path

from pydantic import ValidationError

from protocol.errors import LaunchError
from protocol.messages.base import Settings
from protocol.storage.atomic_files import write_private_text

FEWEST_CHARACTERS = 12


class StoredPassword(Settings):
    """What the file holds, in hexadecimal digits."""

    salt: str
    scrypt: str

    def matches(self, password: str) -> bool:
        """Whether this is the password."""
        return compare_digest(_hash(password, bytes.fromhex(self.salt)), bytes.fromhex(self.scrypt))


def write_password(path: Path, password: str) -> None:
    """Keep the hash of a password.

    Raises:
        LaunchError: it is shorter than twelve characters.
        StorageError: the disk refuses.
    """
    if len(password) < FEWEST_CHARACTERS:
        raise LaunchError(
            f"the password has {len(password)} characters, expected {FEWEST_CHARACTERS} or more; take a longer one"
        )
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    salt = secrets.token_bytes(16)
    stored = StoredPassword(salt=salt.hex(), scrypt=_hash(password, salt).hex())
    write_private_text(path, stored.model_dump_json())


def read_password(path: Path) -> StoredPassword:
    """What `write_password` wrote.

    Raises:
        LaunchError: the file is missing or damaged.
    """
    try:
        stored = StoredPassword.model_validate_json(path.read_text(encoding="utf-8"))
        bytes.fromhex(stored.salt + stored.scrypt)
    except (OSError, ValueError, ValidationError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is damaged"
        raise LaunchError(
            f"no password for the dashboard in {path} ({reason}); set one: `concilium dashboard ROOT --set-password`"
        ) from error
    return stored


def _hash(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1, dklen=32)
