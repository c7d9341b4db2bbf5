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

from client.augmentation.variation import draw_variation
from client.augmentation.varying import vary_crops
from client.data.crops import Crop, apply_crop, draw_crop, draw_lesion_crop, shape_of
from client.data.preprocessing import SEGMENTATION, PreparedCase
from client.tasks.contract import Batch
from protocol.messages.recipe import Augmentation
from protocol.messages.settings import Preprocessing
from protocol.modalities import IMAGES, parts_of

CROPS_PER_CASE = 4


def draw_crops(
    cases: Sequence[PreparedCase],
    setting: str,
    size: int,
    grid: Preprocessing,
    device: torch.device,
    rng: np.random.Generator,
    augmentation: Augmentation,
) -> Batch:
    """`size` random crops, varied as in training, of randomly drawn cases."""
    drawn = [cases[int(rng.integers(len(cases)))] for _ in range(size)]
    return show_crops(drawn, setting, grid, device, rng, augmentation)


def show_crops(
    drawn: Sequence[PreparedCase],
    setting: str,
    grid: Preprocessing,
    device: torch.device,
    rng: np.random.Generator,
    augmentation: Augmentation,
) -> Batch:
    """A random crop, varied as in training, of each of these cases."""
    if not shows_images(setting):
        return stack(drawn, setting, device)
    cases = [_with_images_of(case, setting) for case in drawn]
    crops, variations = [], []
    for case in cases:
        crops.append(_draw_place(case, grid.crop_zyx, augmentation.lesion_crops, rng))
        variations.append(draw_variation(augmentation, grid.crop_zyx, grid.spacing_zyx_mm, rng))
    batch = stack([apply_crop(case, crop) for case, crop in zip(cases, crops, strict=True)], setting, device)
    shown = {"ct": batch.ct, "pet": batch.pet, **batch.targets}
    present = {name: array for name, array in shown.items() if array is not None}
    varied = vary_crops(present, cases, crops, variations, grid.spacing_zyx_mm)
    return replace(
        batch, ct=varied.get("ct"), pet=varied.get("pet"), targets={name: varied[name] for name in batch.targets}
    )


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


def _with_images_of(case: PreparedCase, setting: str) -> PreparedCase:
    """The case without the images that a setting leaves out."""
    ct, pet = (getattr(case, name) if name in parts_of(setting) else None for name in IMAGES)
    return replace(case, ct=ct, pet=pet)


def _draw_place(case: PreparedCase, crop_zyx: Sequence[int], lesion_share: float, rng: np.random.Generator) -> Crop:
    """A crop of a case, blindly placed or, for a share of those whose contour is known, by a voxel of it."""
    mask = case.targets.get(SEGMENTATION)
    if mask is not None and lesion_share > 0 and rng.random() < lesion_share:
        return draw_lesion_crop(mask, crop_zyx, rng)
    return draw_crop(shape_of(case), crop_zyx, rng)


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
