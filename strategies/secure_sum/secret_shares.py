"""A secret in parts, of which `threshold` together give it back and fewer say nothing; the parts for one center sealed.

Shamir, How to share a secret, 1979, in GF(2^128), by pycryptodome; ChaCha20-Poly1305 between each two centers.
"""

import json
from collections.abc import Mapping, Sequence

# The package `Crypto` is pycryptodome, which Flower depends on; ruff means its abandoned forerunner.
from Crypto.Protocol.SecretSharing import Shamir
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from protocol.errors import SecureSumError
from strategies.secure_sum.keys import SECRET_BYTES

NONCE = bytes(12)
"""Every box has a key of its own."""
Shares = dict[str, bytes]


def split(secret: bytes, centers: Sequence[str], threshold: int) -> Shares:
    """A part of a secret for each center, in the order of their names."""
    parts = Shamir.split(threshold, len(centers), secret, ssss=False)
    return {center: part for center, (_, part) in zip(sorted(centers), parts, strict=True)}


def combine(parts: Mapping[str, bytes], centers: Sequence[str], threshold: int) -> bytes:
    """The secret of which these centers hold a part; `centers` are all that it was split for.

    Raises:
        SecureSumError: there are too few, or a part that is none.
    """
    if len(parts) < threshold or any(len(part) != SECRET_BYTES for part in parts.values()):
        raise SecureSumError(f"{len(parts)} center(s) sent their part of a secret, expected {threshold} of them")
    number = {center: index for index, center in enumerate(sorted(centers), start=1)}
    chosen = sorted(parts)[:threshold]
    return bytes(Shamir.combine([(number[center], parts[center]) for center in chosen], ssss=False))


def seal(shares: Mapping[str, bytes], key: bytes) -> str:
    """Parts of several secrets, by name, as hex that the owner of the key alone can read."""
    text = json.dumps({name: part.hex() for name, part in sorted(shares.items())})
    return ChaCha20Poly1305(key).encrypt(NONCE, text.encode(), None).hex()


def unseal(box: str, key: bytes) -> Shares:
    """What `seal` sealed; what is no part of a secret is left out.

    Raises:
        SecureSumError: it was sealed with another key, changed on its way, or holds something else.
    """
    try:
        found = json.loads(ChaCha20Poly1305(key).decrypt(NONCE, bytes.fromhex(box), None))
        parts = {str(name): bytes.fromhex(part) for name, part in found.items()}
        return {name: part for name, part in parts.items() if len(part) == SECRET_BYTES}
    except (InvalidTag, ValueError, TypeError, AttributeError) as error:
        raise SecureSumError(
            f"a box of shares cannot be opened ({type(error).__name__}): its sender saw another list of keys"
        ) from None
