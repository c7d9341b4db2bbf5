"""Misalignment: PET shifted against CT and contour, as breath, a moved limb or a moved table shift it.

PET is acquired over minutes, CT in seconds. A shift alone: at a tumour's distance from the isocenter a small turn is
one too. Where PET is shown without CT nothing moves, since nothing tells by how much the contour would be off.
"""

import numpy as np

Shift = tuple[float, float, float]


def draw_shift_mm(largest_mm: float, rng: np.random.Generator) -> Shift:
    """Where the crop's voxels are looked up in PET, relative to CT, in mm along z, y, x: uniform on each axis."""
    z, y, x = rng.uniform(-largest_mm, largest_mm, size=3)
    return float(z), float(y), float(x)
