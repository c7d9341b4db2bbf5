"""The smallest row of every family of the model table, and images of the size that it takes."""

import torch
from torch import Tensor, nn

from fusion_models.modality import restrict
from fusion_models.registry import MODELS, build_model

SMALLEST = sorted(name for name in MODELS if name.endswith("-tiny"))


def built(name: str, seed: int = 0) -> nn.Module:
    """The model of a row."""
    return build_model(MODELS[name], {}, crop_zyx=MODELS[name].crop_zyx, seed=seed)


def inputs(name: str, setting: str) -> tuple[Tensor | None, Tensor | None]:
    """CT and PET, each (1, 1, z, y, x) in [0, 1], or None where the setting leaves one out."""
    generator = torch.Generator().manual_seed(1)
    ct, pet = (torch.rand(1, 1, *MODELS[name].crop_zyx, generator=generator) for _ in range(2))
    return restrict(setting, ct, pet)
