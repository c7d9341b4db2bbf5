"""Affine: a crop turned about its axes and scaled, in millimeters, about a point that stays where it is.

    o = c + s R (i - c),      i = c + R' (o - c) / s                i in the volume, o in the crop, both in mm
    R = R_z R_y R_x           each angle uniform in [-rotation_degrees, rotation_degrees]
    s                         log-uniform in `scale`: twice as large is as likely as half as large

One scale for all axes, so that nothing gets another shape. A crop that is flat, with FLATNESS times fewer voxels along
an axis than along its longest one (nnU-Net's bound for augmenting slices), is turned and scaled within its plane alone:
its voxels are slices, which a network of slices sees untilted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

FLATNESS = 3
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Affine:
    """Angles about z, y, x, and the factor by which things grow along each axis."""

    rotation_zyx_degrees: tuple[float, float, float]
    scale_zyx: tuple[float, float, float]


def draw_affine(
    rotation_degrees: float, scale: tuple[float, float], size_zyx: Sequence[int], rng: np.random.Generator
) -> Affine:
    """Angles and scale for a crop of a size."""
    flat = flat_axes(size_zyx)
    angles = rng.uniform(-rotation_degrees, rotation_degrees, size=3)
    factor = float(np.exp(rng.uniform(*np.log(scale))))
    z, y, x = (float(angles[axis]) if flat <= {axis} else 0.0 for axis in range(3))
    along_z, along_y, along_x = (1.0 if axis in flat else factor for axis in range(3))
    return Affine((z, y, x), (along_z, along_y, along_x))


def flat_axes(size_zyx: Sequence[int]) -> set[int]:
    """The axes along which a crop is thin."""
    return {axis for axis, n in enumerate(size_zyx) if FLATNESS * n <= max(size_zyx)}


def back_matrix(affine: Affine, spacing_zyx_mm: Sequence[float]) -> Matrix:
    """From an offset in voxels (z, y, x) in the crop to the offset in the volume that is shown there, (3, 3)."""
    spacing = np.asarray(spacing_zyx_mm)
    x, y, z = (affine.rotation_zyx_degrees[axis] for axis in (2, 1, 0))
    turn_xyz = Rotation.from_euler("xyz", (x, y, z), degrees=True).as_matrix()
    turn = turn_xyz[::-1, ::-1]
    forward = np.asarray(affine.scale_zyx)[:, None] * turn
    back: Matrix = np.linalg.inv(forward) * spacing[None, :] / spacing[:, None]
    return back
