"""Real numbers as integers modulo 2^48, which can be masked and summed without loss, and those as float32 to travel.

    word = rint(x 2^30) mod 2^48,    |x| <= 2047        x = word 2^-30, words from 2^47 on standing for negative numbers
    word = low + 2^24 high,          low, high < 2^24   two float32, which hold integers up to 2^24 exactly

The sum of MAXIMUM_CENTERS numbers of any sign stays below 2^47, so that it never wraps. Rounding moves each number by
at most 2^-31, and a mean of n centers whose weights add up to W by n 2^-31 / W.
"""

import numpy as np
from numpy.typing import NDArray

from protocol.errors import SecureSumError

FRACTION_BITS, MODULUS_BITS, LIMB_BITS = 30, 48, 24
MAXIMUM_CENTERS = 64
LARGEST = 2 ** (MODULUS_BITS - 1 - FRACTION_BITS) / MAXIMUM_CENTERS - 1
MASK = np.uint64(2**MODULUS_BITS - 1)
LIMB = np.uint64(2**LIMB_BITS - 1)

Words = NDArray[np.uint64]
Values = NDArray[np.float64]
Limbs = NDArray[np.float32]


def to_words(values: Values) -> Words:
    """Numbers as words.

    Raises:
        SecureSumError: one is not finite or larger than LARGEST; a NaN would become a number like any other.
    """
    if wrong := int(np.count_nonzero(~(np.abs(values) <= LARGEST))):
        raise SecureSumError(
            f"{wrong} of {values.size} number(s) to be summed are not finite or beyond {LARGEST:g}, expected none"
        )
    return np.rint(values * 2.0**FRACTION_BITS).astype(np.int64).astype(np.uint64) & MASK


def from_words(words: Words) -> Values:
    """The numbers that words stand for."""
    signed = words.astype(np.int64)
    return np.where(signed >= 2 ** (MODULUS_BITS - 1), signed - 2**MODULUS_BITS, signed) * 2.0**-FRACTION_BITS


def add(first: Words, second: Words) -> Words:
    """The sum modulo 2^48."""
    return (first + second) & MASK


def subtract(first: Words, second: Words) -> Words:
    """The difference modulo 2^48; unsigned integers wrap at 2^64, of which 2^48 is a divisor."""
    return (first - second) & MASK


def to_limbs(words: Words) -> Limbs:
    """Words (n,) as float32 (2, n): the low halves, then the high ones."""
    return np.stack([words & LIMB, words >> np.uint64(LIMB_BITS)]).astype(np.float32)


def limb_finding(limbs: Limbs) -> str:
    """What of an array cannot be limbs; "" where it can."""
    whole = (limbs >= 0) & (limbs < 2**LIMB_BITS) & (np.floor(limbs) == limbs)
    wrong = int(np.count_nonzero(~whole))
    return f"has {wrong} value(s) of {limbs.size} that are no integers below 2^{LIMB_BITS}" if wrong else ""


def from_limbs(limbs: Limbs) -> Words:
    """The words that `to_limbs` took apart."""
    low, high = limbs.astype(np.uint64)
    return np.asarray(low + (high << np.uint64(LIMB_BITS)), dtype=np.uint64)
