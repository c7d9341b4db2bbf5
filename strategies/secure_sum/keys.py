"""Keys of one sum: each from a secret of 16 bytes, which is what the centers share among them.

    private = HKDF(secret)                                       X25519
    common(i, j, purpose) = HKDF(X25519(private_i, public_j))    the same for (i, j) and (j, i)
    stream(key, n)                                               ChaCha20, n words of 48 bits

Flower brings the same building blocks (flwr.common.secure_aggregation): elliptic-curve agreement with HKDF, Fernet,
and Shamir's shares of pycryptodome. They are not used here, since what has a center's data knows no Flower, and since
its masks come from NumPy's Mersenne Twister with a seed of 32 bits (`pseudo_rand_gen`), which can all be tried.
`cryptography` and `pycryptodome`, on which Flower stands itself, are used directly.
"""

import secrets

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocol.errors import SecureSumError
from strategies.secure_sum.fixed_point import MASK, Words

SECRET_BYTES, KEY_BYTES = 16, 32
WORD_BYTES = 8
NONCE = bytes(16)
"""Every key has one use."""


def draw_secret() -> bytes:
    """A secret from the operating system's generator."""
    return secrets.token_bytes(SECRET_BYTES)


def derive(secret: bytes, *purpose: str) -> bytes:
    """A key of 32 bytes for one purpose, of which each part is told apart from the next by its length."""
    info = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in ("concilium-sum", *purpose))
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=info).derive(secret)


def private_key(secret: bytes) -> X25519PrivateKey:
    """The private key that a secret stands for."""
    return X25519PrivateKey.from_private_bytes(derive(secret, "private key"))


def public_key(secret: bytes) -> str:
    """The public key of a secret, as hex."""
    return private_key(secret).public_key().public_bytes_raw().hex()


def common_key(secret: bytes, public: str, *purpose: str) -> bytes:
    """What the owner of a secret and the owner of a public key have in common.

    Raises:
        SecureSumError: the public key is none, or one with which every agreement is the same.
    """
    try:
        agreed = private_key(secret).exchange(X25519PublicKey.from_public_bytes(bytes.fromhex(public)))
    except ValueError as error:
        raise SecureSumError(
            f"a public key of 64 hexadecimal digits was expected, and this is none ({error})"
        ) from None
    return derive(agreed, *purpose)


def stream(key: bytes, size: int) -> Words:
    """As many words as asked, which nobody without the key tells from random ones."""
    encryptor = Cipher(ChaCha20(key, NONCE), mode=None).encryptor()
    return np.frombuffer(encryptor.update(bytes(WORD_BYTES * size)), dtype="<u8").astype(np.uint64) & MASK
