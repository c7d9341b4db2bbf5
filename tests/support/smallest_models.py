"""The smallest row of every family of the model table, and inputs of the size that it takes."""

import torch

from fusion_models.contract import FusionModel
from fusion_models.modality import Inputs, restrict
from fusion_models.registry import MODELS, build_model

OUTPUTS, COVARIATES = 3, 5
SMALLEST = sorted(name for name in MODELS if name.endswith("-tiny"))


def built(name: str, seed: int = 0, **options: object) -> FusionModel:
    """The model of a row; a head for cases has OUTPUTS outputs, an EHR vector COVARIATES entries."""
    row = MODELS[name]
    return build_model(row, options, crop_zyx=row.crop_zyx, seed=seed, outputs=OUTPUTS, covariates=COVARIATES)


def inputs(name: str, setting: str) -> Inputs:
    """CT and PET, each (1, 1, z, y, x) in [0, 1], and EHR (1, COVARIATES), or None where the setting leaves one out."""
    generator = torch.Generator().manual_seed(1)
    ct, pet = (torch.rand(1, 1, *MODELS[name].crop_zyx, generator=generator) for _ in range(2))
    return restrict(setting, ct, pet, torch.rand(1, COVARIATES, generator=generator))
