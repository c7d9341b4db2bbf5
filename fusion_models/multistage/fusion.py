"""The fusion block that closes a stage: both streams get the same term added (arXiv 2501.12425, equations 1 and 2).

    s_ct = act(norm(conv1(CT))),  s_pt = act(norm(conv1'(PET)))      c channels squeezed to one, each with its own
    m    = s_ct * s_pt                                               voxel by voxel, signed where act is none
    CT'  = CT + m,   PET' = PET + m                                  m the same for all channels of both

    message     m                                                    parameters at c channels
    product     s_ct * s_pt                  the paper's              2 (c + 1) + 4: 38, 70, 134 at 16, 32, 64
    sum         s_ct + s_pt                  baseline                 the same
    concat      act(norm(conv1([CT ; PET]))), 2c -> c                 baseline: a full mix; c (2c + 1) + 2c

The published act is none. With one case a batch and batch normalisation m is a product of z-scores, whose mean over
positions is the correlation of both squeezed maps (scale 1, shift 0): two voxels below their means agree as well, so
background counts unless its maps are near their means. A norm of scale and shift 0 makes the product the identity.

`pet_reach` (not in the paper) takes the maximum of s_pt over a cube of so many voxels before the product: what lies one
voxel apart still meets. 1 is the paper's.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusion_models.multistage.norms import NormFactory

Pair = tuple[Tensor, Tensor]
ACTIVATIONS: Mapping[str, type[nn.Module]] = {"none": nn.Identity, "relu": nn.ReLU, "sigmoid": nn.Sigmoid}


class Squeeze(nn.Module):
    """(b, c, z, y, x) -> act(norm(conv1)): (b, outputs, z, y, x)."""

    def __init__(self, inputs: int, outputs: int, *, norm: NormFactory, activation: str) -> None:
        super().__init__()
        self.conv, self.norm, self.activation = nn.Conv3d(inputs, outputs, 1), norm(outputs), ACTIVATIONS[activation]()

    def forward(self, maps: Tensor) -> Tensor:
        """The squeezed map."""
        squeezed: Tensor = self.activation(self.norm(self.conv(maps)))
        return squeezed


class Fusion(nn.Module, ABC):
    """Both streams with the same term added."""

    @abstractmethod
    def message(self, ct: Tensor, pet: Tensor) -> Tensor:
        """m of both maps (b, c, z, y, x): (b, c, z, y, x), or (b, 1, z, y, x) for all channels."""

    def forward(self, ct: Tensor, pet: Tensor, gain: nn.Module | None = None) -> Pair:
        """(CT + m, PET + m), each (b, c, z, y, x); m times a gain of each channel where there is one."""
        message = self.message(ct, pet)
        if gain is not None:
            message = gain(message)
        return ct + message, pet + message


class ProductFusion(Fusion):
    """The paper's fusion: the voxel-wise product of both squeezed maps, added to both streams."""

    def __init__(self, width: int, *, norm: NormFactory, activation: str, pet_reach: int) -> None:
        super().__init__()
        self.ct = Squeeze(width, 1, norm=norm, activation=activation)
        self.pet = Squeeze(width, 1, norm=norm, activation=activation)
        self.pet_reach = pet_reach

    def message(self, ct: Tensor, pet: Tensor) -> Tensor:
        """m (b, 1, z, y, x), the same for all channels."""
        return self.join(self.ct(ct), self.reach(self.pet(pet)))

    def reach(self, squeezed: Tensor) -> Tensor:
        """The maximum over a cube of `pet_reach` voxels around each position; the map itself where that is 1."""
        return F.max_pool3d(squeezed, self.pet_reach, stride=1, padding=self.pet_reach // 2)

    def join(self, ct: Tensor, pet: Tensor) -> Tensor:
        """m of both squeezed maps, (b, 1, z, y, x) each."""
        return ct * pet


class SumFusion(ProductFusion):
    """As `ProductFusion`, with the sum of both squeezed maps."""

    def join(self, ct: Tensor, pet: Tensor) -> Tensor:
        """m of both squeezed maps, (b, 1, z, y, x) each."""
        return ct + pet


class ConcatFusion(Fusion):
    """The same mix of all channels of both, added to both streams."""

    def __init__(self, width: int, *, norm: NormFactory, activation: str, pet_reach: int) -> None:
        super().__init__()
        if pet_reach > 1:
            raise ValueError(f"pet_reach {pet_reach} needs a squeezed PET map; fusion 'concat' has none")
        self.mix = Squeeze(2 * width, width, norm=norm, activation=activation)

    def message(self, ct: Tensor, pet: Tensor) -> Tensor:
        """m (b, c, z, y, x)."""
        mixed: Tensor = self.mix(torch.cat([ct, pet], dim=1))
        return mixed


class FusionClass(Protocol):
    """Builds the fusion of maps of `width` channels."""

    def __call__(self, width: int, *, norm: NormFactory, activation: str, pet_reach: int) -> Fusion:
        """The fusion, freshly drawn."""
        ...


FUSIONS: Mapping[str, FusionClass] = {"product": ProductFusion, "sum": SumFusion, "concat": ConcatFusion}
