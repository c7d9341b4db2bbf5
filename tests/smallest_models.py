"""Every family of the model table in its smallest sizes, and images of the size that it takes."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fusion_models.modality import restrict
from fusion_models.registry import MODELS, build_model
from fusion_models.sizes import Option, Sizes

Crop = tuple[int, int, int]


@dataclass(frozen=True)
class Family:
    """Options and crop (z, y, x) of the smallest network, and a crop that every row of the family takes."""

    options: Sizes
    crop_zyx: Crop
    paper_crop_zyx: Crop


UNETR = {"patch": 4, "width": 12, "depth": 4, "heads": 2, "mlp": 16, "features": 2}
FAMILIES: Mapping[str, Family] = {
    "pemma-unetr": Family(UNETR, (16, 16, 16), (96, 96, 96)),
    "early-fusion-unetr": Family(UNETR, (16, 16, 16), (96, 96, 96)),
    "vmambax": Family(MODELS["vmambax-tiny"].options, (3, 32, 16), (1, 256, 512)),
    "log-vmamba-2d": Family(MODELS["log-vmamba-2d-tiny"].options, (3, 32, 16), (1, 384, 640)),
    "log-vmamba-3d": Family(MODELS["log-vmamba-3d-tiny"].options, (16, 16, 16), (128, 128, 128)),
}


def family_of(name: str) -> str:
    """The family of a row: its name without the size."""
    return name.rpartition("-")[0]


def smallest(name: str) -> tuple[dict[str, Option], Crop]:
    """Options and crop for a row of this family."""
    family = FAMILIES[family_of(name)]
    return dict(family.options), family.crop_zyx


def built(name: str, seed: int = 0) -> nn.Module:
    """The model of a row, small."""
    options, crop_zyx = smallest(name)
    return build_model(name, options, crop_zyx=crop_zyx, seed=seed)


def inputs(name: str, setting: str) -> tuple[Tensor | None, Tensor | None]:
    """CT and PET, each (1, 1, z, y, x) in [0, 1], or None where the setting leaves one out."""
    generator = torch.Generator().manual_seed(1)
    ct, pet = (torch.rand(1, 1, *smallest(name)[1], generator=generator) for _ in range(2))
    return restrict(setting, ct, pet)


def spared(name: str) -> tuple[str, ...]:
    """Module prefixes of a row that carry no adapter."""
    return MODELS[name].pathway_modules
