"""Affine, elastic and misalignment together: one look-up in the case's own volume, so that nothing is blurred twice.

    p(o) = a + c + L (o - c) + d(o) - d(c)        the voxel of the volume that is shown at the crop's voxel o
    PET  p(o) + shift                             a the crop's first voxel, L the affine's way back, d the elastic field

c is the crop's middle, or the voxel of the contour that the crop was placed to hold, which stays where it is. Because
the volume is asked and not the cut, turned corners show what really lies there; outside the volume is the window's low
end (0). Images are interpolated linearly, what a contour says of a voxel is that of the nearest one.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from client.augmentation.affine import back_matrix
from client.augmentation.elastic import field_mm
from client.augmentation.variation import Variation
from client.data.crops import Crop, shape_of
from client.data.preprocessing import PreparedCase


def resample_crop(
    case: PreparedCase, crop: Crop, variation: Variation, spacing_zyx_mm: Sequence[float], device: torch.device
) -> dict[str, Tensor]:
    """Those arrays of a crop, images and targets on the grid by name, that are not cut as they lie; each (z, y, x)."""
    shift = (0.0, 0.0, 0.0) if case.ct is None or variation.shift_mm is None else variation.shift_mm
    if not variation.bends and not any(shift):
        return {}
    places = positions(crop, variation, spacing_zyx_mm, device)
    found = {}
    if case.pet is not None:
        moved = [place + mm / spacing for place, mm, spacing in zip(places, shift, spacing_zyx_mm, strict=True)]
        found["pet"] = look_up(case.pet, moved, "bilinear", crop.pet_scale, 0.0)
    if variation.bends and case.ct is not None:
        found["ct"] = look_up(case.ct, places, "bilinear", crop.ct_scale, crop.ct_shift)
    masks = {name: target for name, target in case.targets.items() if target.shape == shape_of(case)}
    if variation.bends:
        found |= {name: look_up(mask, places, "nearest", 1.0, 0.0) for name, mask in masks.items()}
    return {name: array.flip(crop.flipped) for name, array in found.items()}


def positions(
    crop: Crop, variation: Variation, spacing_zyx_mm: Sequence[float], device: torch.device
) -> Sequence[Tensor]:
    """p(o) of every voxel of a crop before it is flipped, in voxels of the volume: along z, y, x, each (z, y, x)."""
    size, start = np.asarray(crop.size_zyx), np.asarray(crop.start_zyx)
    still = (size - 1) / 2 if crop.held_zyx is None else np.asarray(crop.held_zyx)
    back = np.eye(3) if variation.affine is None else back_matrix(variation.affine, spacing_zyx_mm)
    rows, firsts = back.tolist(), (start + still - back @ still).tolist()
    axes = [torch.arange(n, dtype=torch.float32, device=device) for n in crop.size_zyx]
    z, y, x = axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :]
    places = [row[0] * z + row[1] * y + (row[2] * x + first) for row, first in zip(rows, firsts, strict=True)]
    if variation.elastic is None:
        return places
    field = field_mm(variation.elastic, crop.size_zyx, spacing_zyx_mm, device)
    middle = tuple(int(n) for n in still)
    bent = zip(places, field, spacing_zyx_mm, strict=True)
    return [place + (mm - mm[middle]) / spacing for place, mm, spacing in bent]


def look_up(volume: NDArray[Any], places: Sequence[Tensor], mode: str, scale: float, shift: float) -> Tensor:
    """Values of `scale` * volume + `shift` at places along z, y, x, 0 outside of the volume: (z, y, x) float32.

    Only the box that holds the places goes to their device.
    """
    boxes = [_reach(place, n) for place, n in zip(places, volume.shape, strict=True)]
    part = volume[tuple(slice(low, high) for low, high in boxes)].astype(np.float32, copy=False)
    box = torch.from_numpy(part * np.float32(scale) + np.float32(shift)).to(places[0].device)
    inside = zip(places, boxes, strict=True)
    zyx = [place * (2 / (high - low)) + ((1 - 2 * low) / (high - low) - 1) for place, (low, high) in inside]
    grid = torch.stack(zyx[::-1], dim=-1)
    found: Tensor = F.grid_sample(box[None, None], grid[None], mode, "zeros", align_corners=False)
    return found[0, 0]


def _reach(places: Tensor, n: int) -> tuple[int, int]:
    """First voxel of those of an axis that places lie between, and the one after the last; at least one of n."""
    lowest, highest = (float(bound) for bound in places.aminmax())
    low = min(max(0, math.floor(lowest)), n - 1)
    return low, min(max(low, math.ceil(highest)), n - 1) + 1
