"""Gaussian noise: of one deviation in CT, in proportion to the uptake in PET.

    CT   x' = x + s n         s up to 0.08 of the window, n standard normal
    PET  x' = x (1 + s n)     s up to 0.15

CT's noise hardly depends on the tissue; air, at the window's low end, shows none (`client.augmentation.varying`). The
noise of an iteratively reconstructed PET is nearly in proportion to its mean (Barrett, Wilson and Tsui 1994, Phys. Med.
Biol. 39:833). The field is drawn on the host from a seed: every device shows the same.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

LARGEST = {"ct": 0.08, "pet": 0.15}


@dataclass(frozen=True)
class Noise:
    """Standard deviation, of the window (CT) or of the uptake (PET), and the seed of the field."""

    deviation: float
    seed: int


def draw_noise(image: str, rng: np.random.Generator) -> Noise:
    """Noise for "ct" or "pet"."""
    return Noise(float(rng.uniform(0, LARGEST[image])), int(rng.integers(2**63)))


def add_noise(image: Tensor, noise: Noise) -> Tensor:
    """CT with noise of one deviation."""
    return image + noise.deviation * _field(image, noise.seed)


def multiply_noise(image: Tensor, noise: Noise) -> Tensor:
    """PET with noise in proportion to its uptake."""
    return image * (1 + noise.deviation * _field(image, noise.seed))


def _field(image: Tensor, seed: int) -> Tensor:
    drawn = np.random.default_rng(seed).standard_normal(tuple(image.shape), dtype=np.float32)
    return torch.from_numpy(drawn).to(image.device)
