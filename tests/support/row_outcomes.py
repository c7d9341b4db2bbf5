"""Every output of a network of the model table."""

import torch

from fusion_models import contract
from fusion_models.modality import Inputs
from tests.support.smallest_models import inputs


def outcome_of(model: torch.nn.Module, given: Inputs) -> torch.Tensor:
    """Every output that the network has, in one row; a mask or an image where there is an image."""
    shown = isinstance(model, contract.VoxelModel) and not (given.ct is None and given.pet is None)
    parts = [model(*given).flatten()] if shown else []
    parts += [model.assess(*given).flatten()] if isinstance(model, contract.Assessor) else []
    return torch.cat(parts)


def outcome(model: torch.nn.Module, name: str, setting: str) -> torch.Tensor:
    return outcome_of(model, inputs(name, setting))
