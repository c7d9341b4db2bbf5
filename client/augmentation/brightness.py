"""Brightness: intensities times a factor, and CT's moved too, beyond the small change that every training crop has.

    CT   x' = f x + g,  f log-uniform in [0.91, 1.1], g in [-0.05, 0.05]
    PET  x' = f x,      f log-uniform in [0.77, 1.3]

A scanner's calibration, the weight and the injected activity are each known within some per cent, and together they
scale the SUV of a whole scan. Air stays at the window's low end (`client.augmentation.varying`).
"""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

LARGEST_CHANGE = {"ct": (0.1, 0.05), "pet": (0.3, 0.0)}


@dataclass(frozen=True)
class Brightness:
    """Factor and what is added."""

    factor: float
    shift: float


def draw_brightness(image: str, rng: np.random.Generator) -> Brightness:
    """Brightness for "ct" or "pet": a factor between 1 / (1 + f) and 1 + f, each side as likely."""
    factor, shift = LARGEST_CHANGE[image]
    span = np.log(1 + factor)
    return Brightness(float(np.exp(rng.uniform(-span, span))), float(rng.uniform(-shift, shift)))


def apply_brightness(image: Tensor, brightness: Brightness) -> Tensor:
    """The image, brighter or darker."""
    return brightness.factor * image + brightness.shift
