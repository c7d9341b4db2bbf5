"""What a correction changed: overlap, the contour that had to be drawn, the surface that stayed, and the volumes.

P predicted, C corrected, both masks (z, y, x) on one grid:

    Dice          2 |P n C| / (|P| + |C|)
    added path    p |{voxels of the contour of C that are not on the contour of P}|, mm; slice by slice, where the
                  contour is what 4-connected erosion in the slice takes away, and p the side of a voxel in the slice
                  (the root of its area where it is not square)
    surface Dice  share of both surfaces that lies within 2 mm of the other; voxels of the edge count alike

Added path length after Vaassen et al. 2020 (Phys Imaging Radiat Oncol 13, 1-6, doi:10.1016/j.phro.2019.12.001), who
found that it goes with the time that a correction takes; they count pixels, here they are millimeters of contour.
Surface Dice (Nikolov et al. 2021, doi:10.2196/26151) as MONAI computes it, after arXiv 2111.05408.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.metrics import compute_surface_dice
from numpy.typing import NDArray
from scipy import ndimage

from client.data.volume import Volume
from client.tasks.overlap import dice

TOLERANCE_MM = 2.0
ML_PER_MM3 = 1e-3

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Comparison:
    """A correction beside its prediction; dice and surface_dice in [0, 1], None where either mask is empty."""

    dice: float | None
    added_path_mm: float
    surface_dice: float | None
    predicted_ml: float
    corrected_ml: float
    added_ml: float
    removed_ml: float

    @property
    def unchanged(self) -> bool:
        """Whether every voxel is as predicted."""
        return not (self.added_ml or self.removed_ml)


def compare(predicted: Volume, corrected: Volume) -> Comparison:
    """Compare two masks on one grid.

    Raises:
        ValueError: their shapes differ.
    """
    if predicted.shape_zyx != corrected.shape_zyx:
        raise ValueError(f"masks of shape {predicted.shape_zyx} and {corrected.shape_zyx} lie on two grids")
    spacing_zyx_mm = corrected.spacing_zyx_mm
    p, c = _cut_to_both(predicted.array_zyx != 0, corrected.array_zyx != 0)
    voxel_ml = math.prod(spacing_zyx_mm) * ML_PER_MM3
    counts = [int(np.count_nonzero(found)) * voxel_ml for found in (p, c, c & ~p, p & ~c)]
    both = p.any() and c.any()
    return Comparison(
        dice(p, c) if both else None,
        added_path_mm(p, c, spacing_zyx_mm),
        surface_dice(p, c, spacing_zyx_mm) if both else None,
        *counts,
    )


def added_path_mm(predicted: Mask, corrected: Mask, spacing_zyx_mm: Sequence[float]) -> float:
    """Length of the corrected contours that do not lie on predicted ones."""
    drawn = _contours(corrected) & ~_contours(predicted)
    return int(np.count_nonzero(drawn)) * math.sqrt(spacing_zyx_mm[1] * spacing_zyx_mm[2])


def surface_dice(predicted: Mask, corrected: Mask, spacing_zyx_mm: Sequence[float]) -> float:
    """Share of both surfaces within 2 mm of each other; both masks have voxels."""
    one_hot = [
        torch.from_numpy(np.ascontiguousarray(mask, dtype=np.float32))[None, None] for mask in (predicted, corrected)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # MONAI 1.6 calls a function of its own in a deprecated way
        found = compute_surface_dice(*one_hot, [TOLERANCE_MM], include_background=True, spacing=list(spacing_zyx_mm))
    return float(found.item())


def _contours(mask: Mask) -> Mask:
    """The voxels of each slice that touch another one outside by a side; beyond the image is outside."""
    cross = ndimage.generate_binary_structure(2, 1)[None]
    return np.asarray(mask & ~ndimage.binary_erosion(mask, cross))


def _cut_to_both(one: NDArray[Any], other: NDArray[Any]) -> tuple[Mask, Mask]:
    """Both masks in the box of their union, with one voxel of nothing around it."""
    box = ndimage.find_objects((one | other).astype(np.uint8))
    inside = box[0] if box else tuple(slice(0, 1) for _ in one.shape)
    return np.pad(one[inside], 1), np.pad(other[inside], 1)
