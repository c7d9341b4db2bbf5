"""Draws that nobody can foresee or repeat, for noise and for who is sampled; never for anything that must be repeated.

A 256-bit key of the operating system, new with each object, and AES in counter mode give a stream of words w of 64 bits
(NIST SP 800-38A, section 6.5):

    u = (floor(w / 2^12) + 1/2) / 2^52      uniform in (0, 1), never 0 or 1
    z = Phi^-1(u)                           standard normal, |z| < 8.3, which 2e-16 of all draws would exceed

Everything is float64. Whoever uses z rounds the sum with it to float32: each value then comes of about 2^29 float64
sums, so that the digits of a result do not tell which sum it was (Mironov, CCS 2012, on what they tell otherwise).
"""

import math
import secrets
from threading import Lock
from typing import Protocol

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR
from numpy.typing import NDArray
from scipy.special import ndtri

Floats = NDArray[np.float64]
Shape = int | tuple[int, ...]


class Randomness(Protocol):
    """What mechanisms draw from; NumPy's generators are such, where a test must repeat."""

    def random(self, size: Shape, /) -> Floats:
        """Uniform in (0, 1)."""
        ...

    def standard_normal(self, size: Shape, /) -> Floats:
        """Of mean 0 and variance 1."""
        ...


class SecretRandomness:
    """The stream of one secret key, for any number of threads."""

    def __init__(self) -> None:
        self._one_at_a_time = Lock()
        self._stream = Cipher(AES256(secrets.token_bytes(32)), CTR(bytes(16))).encryptor()

    def random(self, size: Shape, /) -> Floats:
        """Uniform in (0, 1)."""
        count = size if isinstance(size, int) else math.prod(size)
        with self._one_at_a_time:
            words = np.frombuffer(self._stream.update(bytes(8 * count)), dtype=np.uint64)
        uniform: Floats = ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
        return uniform.reshape(size)

    def standard_normal(self, size: Shape, /) -> Floats:
        """Of mean 0 and variance 1."""
        normal: Floats = ndtri(self.random(size))
        return normal
