"""Simulated low resolution: an image made coarser by the mean over larger voxels, and fine again by interpolation.

Each image has its own factor: a coarse PET beside a fine CT is what centers have. Contours stay.
"""

import math

import numpy as np
import torch.nn.functional as F
from torch import Tensor

FACTORS = (0.5, 1.0)


def draw_zoom(rng: np.random.Generator) -> float:
    """How many voxels along each axis stay, of one."""
    return float(rng.uniform(*FACTORS))


def simulate_low_resolution(image: Tensor, zoom: float) -> Tensor:
    """An image (b, c, z, y, x) as a grid with `zoom` times as many voxels along each axis, at least one, shows it."""
    size = list(image.shape[2:])
    coarse = F.interpolate(image, [max(1, math.ceil(n * zoom)) for n in size], mode="area")
    return F.interpolate(coarse, size, mode="trilinear", align_corners=False)
