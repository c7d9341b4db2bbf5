"""Gamma: intensities raised to a power, which keeps the window's ends: x' = sign(x) |x|^gamma, 0 -> 0, 1 -> 1.

PET gets the narrower range: its values are quantities, which centers measure alike but for their reconstruction.
"""

import numpy as np
from torch import Tensor

EXPONENTS = {"ct": (0.7, 1.5), "pet": (0.8, 1.3)}


def draw_gamma(image: str, rng: np.random.Generator) -> float:
    """An exponent for "ct" or "pet"."""
    return float(rng.uniform(*EXPONENTS[image]))


def apply_gamma(image: Tensor, exponent: float) -> Tensor:
    """The image with its contrast changed."""
    return image.sign() * image.abs() ** exponent
