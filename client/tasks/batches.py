"""Batches of any task: which cases are drawn, which crops of them, and how their arrays are stacked.

A case without images has no crop; it is shown as it is.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from client.data.crops import apply_crop, draw_crop, shape_of
from client.data.preprocessing import PreparedCase
from client.tasks.contract import Batch
from protocol.modalities import IMAGES, parts_of

CROPS_PER_CASE = 4


def draw_crops(
    cases: Sequence[PreparedCase],
    setting: str,
    size: int,
    crop_zyx: Sequence[int],
    device: torch.device,
    rng: np.random.Generator,
) -> Batch:
    """`size` random crops, varied as in training, of randomly drawn cases."""
    drawn = [cases[int(rng.integers(len(cases)))] for _ in range(size)]
    return show_crops(drawn, setting, crop_zyx, device, rng)


def show_crops(
    drawn: Sequence[PreparedCase],
    setting: str,
    crop_zyx: Sequence[int],
    device: torch.device,
    rng: np.random.Generator,
) -> Batch:
    """A random crop, varied as in training, of each of these cases."""
    seen = [_varied(case, crop_zyx, rng) if shows_images(setting) else case for case in drawn]
    return stack(seen, setting, device)


def plain_crops(
    case: PreparedCase,
    settings: Sequence[str],
    crop_zyx: Sequence[int],
    device: torch.device,
    rng: np.random.Generator,
) -> list[Batch]:
    """CROPS_PER_CASE random crops of a case, not varied, each under every setting; one pass without images."""
    count = CROPS_PER_CASE if any(map(shows_images, settings)) else 0
    crops = [_placed(case, crop_zyx, rng) for _ in range(count)]
    shown = [stack([crop], setting, device) for crop in crops for setting in settings if shows_images(setting)]
    return shown + [stack([case], setting, device) for setting in settings if not shows_images(setting)]


def stack(cases: Sequence[PreparedCase], setting: str, device: torch.device) -> Batch:
    """The arrays of cases of one size as a batch: the inputs that a setting names, and the targets that all have."""
    inputs = {name: _stack_all([getattr(case, name) for case in cases], device) for name in sorted(parts_of(setting))}
    names = {name for case in cases for name in case.targets}
    found = {name: _stack_all([case.targets.get(name) for case in cases], device) for name in sorted(names)}
    targets = {name: tensor for name, tensor in found.items() if tensor is not None}
    return Batch(tuple(case.name for case in cases), setting, **inputs, targets=targets)


def shows_images(setting: str) -> bool:
    """Whether a setting holds an image."""
    return bool(parts_of(setting) & set(IMAGES))


def _varied(case: PreparedCase, crop_zyx: Sequence[int], rng: np.random.Generator) -> PreparedCase:
    return apply_crop(case, draw_crop(shape_of(case), crop_zyx, rng))


def _placed(case: PreparedCase, crop_zyx: Sequence[int], rng: np.random.Generator) -> PreparedCase:
    crop = draw_crop(shape_of(case), crop_zyx, rng)
    return apply_crop(case, replace(crop, flipped=(), ct_scale=1.0, ct_shift=0.0, pet_scale=1.0))


def _stack_all(arrays: Sequence[NDArray[Any] | None], device: torch.device) -> Tensor | None:
    """Arrays as one float32 batch, volumes (z, y, x) with a channel axis; None where any is absent."""
    present = [array for array in arrays if array is not None]
    if len(present) < len(arrays):
        return None
    stacked = torch.from_numpy(np.stack(present).astype(np.float32))
    if stacked.ndim < 4:
        return stacked.to(device)
    return stacked[:, None].to(device, memory_format=torch.channels_last_3d)
