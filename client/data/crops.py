"""Random training crops: drawn in one function, applied in another, so that the second is deterministic.

A crop is placed blindly, or, for a share of training crops, so that it holds a voxel of the contour. The voxel is drawn
from all of the contour, and the crop from all that hold it: one centered on it would teach the network where to look
instead of what to look for. Nothing that is scored or observed is placed by a contour.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from client.data.preprocessing import PreparedCase

T = TypeVar("T", bound=np.generic)
SCALE, SHIFT = 0.1, 0.05


@dataclass(frozen=True)
class Crop:
    """Where to cut and how to vary: first voxel per axis (negative: padding before), flipped axes, intensities.

    held_zyx: the voxel of the contour that it was placed to hold, counted from the crop's first voxel before flips.
    """

    start_zyx: tuple[int, int, int]
    size_zyx: tuple[int, int, int]
    flipped: tuple[int, ...]
    ct_scale: float
    ct_shift: float
    pet_scale: float
    held_zyx: tuple[int, int, int] | None = None


def draw_crop(shape_zyx: Sequence[int], size_zyx: Sequence[int], rng: np.random.Generator) -> Crop:
    """A crop of `size_zyx`, uniformly placed in the volume, or the volume uniformly placed in the crop."""
    bounds = [(min(0, n - size), max(0, n - size)) for n, size in zip(shape_zyx, size_zyx, strict=True)]
    return _draw_between(bounds, size_zyx, rng)


def draw_lesion_crop(mask: NDArray[Any], size_zyx: Sequence[int], rng: np.random.Generator) -> Crop:
    """A crop that holds a uniformly drawn voxel of a mask (z, y, x), anywhere in it; of an empty mask any crop."""
    voxels = np.flatnonzero(mask)
    if not len(voxels):
        return draw_crop(mask.shape, size_zyx, rng)
    z, y, x = (int(place) for place in np.unravel_index(voxels[rng.integers(len(voxels))], mask.shape))
    bounds = [
        (max(min(0, n - size), place - size + 1), min(max(0, n - size), place))
        for n, size, place in zip(mask.shape, size_zyx, (z, y, x), strict=True)
    ]
    crop = _draw_between(bounds, size_zyx, rng)
    first_z, first_y, first_x = crop.start_zyx
    return replace(crop, held_zyx=(z - first_z, y - first_y, x - first_x))


def _draw_between(bounds: Sequence[tuple[int, int]], size_zyx: Sequence[int], rng: np.random.Generator) -> Crop:
    """A crop that starts between the bounds of each axis, both included."""
    z, y, x = (int(rng.integers(low, high + 1)) for low, high in bounds)
    flipped = tuple(axis for axis in range(3) if rng.random() < 0.5)
    scales = rng.uniform(1 - SCALE, 1 + SCALE, size=2)
    depth, height, width = size_zyx
    shift = float(rng.uniform(-SHIFT, SHIFT))
    return Crop((z, y, x), (depth, height, width), flipped, float(scales[0]), shift, float(scales[1]))


def apply_crop(case: PreparedCase, crop: Crop) -> PreparedCase:
    """The crop of a case, its targets on the grid with it; voxels outside the volume take the window's low end (0)."""
    ct = None if case.ct is None else _cut(case.ct * np.float32(crop.ct_scale) + np.float32(crop.ct_shift), crop)
    pet = None if case.pet is None else _cut(case.pet * np.float32(crop.pet_scale), crop)
    return replace(case, ct=ct, pet=pet, targets={name: _cut_target(case, name, crop) for name in case.targets})


def windows(shape_zyx: Sequence[int], size_zyx: Sequence[int]) -> list[Crop]:
    """Fewest evenly spaced windows that cover a volume; along a shorter axis the volume is in the window's middle."""
    starts = []
    for n, size in zip(shape_zyx, size_zyx, strict=True):
        last, count = n - size, math.ceil(n / size)
        starts.append([last // 2] if count == 1 else [round(last * i / (count - 1)) for i in range(count)])
    depth, height, width = size_zyx
    return [Crop((z, y, x), (depth, height, width), (), 1.0, 0.0, 1.0) for z, y, x in itertools.product(*starts)]


def shape_of(case: PreparedCase) -> tuple[int, ...]:
    """The grid of a case, voxels along z, y, x."""
    image = case.ct if case.ct is not None else case.pet
    if image is None:
        raise ValueError(f"case '{case.name}' has neither CT nor PET")
    return image.shape


def _cut_target(case: PreparedCase, name: str, crop: Crop) -> NDArray[Any]:
    """A target that lies on the case's grid is cut with it; a class or a time is of the whole case."""
    target = case.targets[name]
    return _cut(target, crop) if target.shape == shape_of(case) else target


def _cut(array: NDArray[T], crop: Crop) -> NDArray[T]:
    inside, before_after = [], []
    for n, start, size in zip(array.shape, crop.start_zyx, crop.size_zyx, strict=True):
        low, high = max(0, start), min(n, start + size)
        inside.append(slice(low, high))
        before_after.append((low - start, start + size - high))
    return np.ascontiguousarray(np.flip(np.pad(array[tuple(inside)], before_after), crop.flipped))
