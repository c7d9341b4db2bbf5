"""Every row of the model table in its family's smallest sizes, and images of the size that it takes."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fusion_models.modality import restrict
from fusion_models.registry import MODELS, build_model
from fusion_models.sizes import Option

UNETR = {"patch": 4, "width": 12, "depth": 4, "heads": 2, "mlp": 16, "features": 2}
FAMILIES: Mapping[str, tuple[Mapping[str, Option], tuple[int, int, int]]] = {
    "pemma-unetr": (UNETR, (16, 16, 16)),
    "early-fusion-unetr": (UNETR, (16, 16, 16)),
    "vmambax": (MODELS["vmambax-tiny"].options, (2, 32, 16)),
    "log-vmamba-2d": (MODELS["log-vmamba-2d-tiny"].options, (2, 32, 16)),
    "log-vmamba-3d": (MODELS["log-vmamba-3d-tiny"].options, (16, 16, 16)),
}
"""Family -> options and crop (z, y, x)."""


def smallest(name: str) -> tuple[dict[str, Option], tuple[int, int, int]]:
    """Options and crop for a row, by the family in its name."""
    options, crop_zyx = FAMILIES[name.rpartition("-")[0]]
    return dict(options), crop_zyx


def built(name: str, seed: int = 0) -> nn.Module:
    """The model of a row, small."""
    options, crop_zyx = smallest(name)
    return build_model(name, options, crop_zyx=crop_zyx, seed=seed)


def inputs(name: str, setting: str) -> tuple[Tensor | None, Tensor | None]:
    """CT and PET, each (1, 1, z, y, x) in [0, 1], or None where the setting leaves one out."""
    generator = torch.Generator().manual_seed(1)
    ct, pet = (torch.rand(1, 1, *smallest(name)[1], generator=generator) for _ in range(2))
    return restrict(setting, ct, pet)


def spared(name: str) -> list[str]:
    """Module prefixes of a row that carry no adapter."""
    return [prefix for prefixes in MODELS[name].pathways.values() for prefix in prefixes]
