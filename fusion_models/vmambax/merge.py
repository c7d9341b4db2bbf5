"""How the CT and PET maps of one stage become the one map that the decoder reads (arXiv 2510.27508).

    ct', pet', base = merge(ct, pet)
    F               = base + interaction(ct', pet')

    merge "cgm"                   ct', pet' gated by each other; base = ct' + pet'           the paper's
    merge "cgm-without-residual"  the same with gates that only weaken                       ablation
    merge "sum"                   ct', pet' = ct, pet;           base = ct + pet             ablation
    merge "concat"                ct', pet' = ct, pet;           base = W [ct ; pet], 1x1    ablation
    interaction "dcim"            the paper's;  "none": zero

All maps are (b, c, y, x). A study file chooses by name. With one modality absent neither is used: F is the other's map.
"""

from collections.abc import Mapping
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn

from fusion_models.ssm.vss import SS2D, MapMixerClass
from fusion_models.vmambax.cgm import Cgm, amplify, weaken
from fusion_models.vmambax.dcim import Dcim
from fusion_models.vmambax.norms import NormFactory

Merged = tuple[Tensor, Tensor, Tensor]


class MergeClass(Protocol):
    """Builds a merge of maps of `width` channels; its `forward(ct, pet)` gives (ct', pet', base)."""

    def __call__(self, width: int, *, norm: NormFactory) -> nn.Module:
        """The merge, freshly drawn."""
        ...


class InteractionClass(Protocol):
    """Builds an interaction of maps of `width` channels; its `forward(ct', pet')` gives what is added to base.

    window: side of the windows that every map must be cut into, 1 for none.
    """

    window: int

    def __call__(self, width: int, *, state: int, norm: NormFactory, mixer: MapMixerClass = ...) -> nn.Module:
        """The interaction, freshly drawn."""
        ...


class GatedSum(nn.Module):
    """base = ct' + pet' of the maps that CGM has gated."""

    gating = staticmethod(amplify)

    def __init__(self, width: int, *, norm: NormFactory) -> None:
        super().__init__()
        self.cgm = Cgm(width, norm=norm, gating=self.gating)

    def forward(self, ct: Tensor, pet: Tensor) -> Merged:
        """(ct', pet', ct' + pet'), each (b, c, y, x)."""
        ct, pet = self.cgm(ct, pet)
        return ct, pet, ct + pet


class WeakenedSum(GatedSum):
    """`GatedSum` without CGM's residual: Y = X * G."""

    gating = staticmethod(weaken)


class PlainSum(nn.Module):
    """base = ct + pet; nothing to learn."""

    def __init__(self, width: int, *, norm: NormFactory) -> None:  # noqa: ARG002 what every merge is built with
        super().__init__()

    def forward(self, ct: Tensor, pet: Tensor) -> Merged:
        """(ct, pet, ct + pet), each (b, c, y, x)."""
        return ct, pet, ct + pet


class Concatenation(nn.Module):
    """base = one 1x1 convolution, with bias, of [ct ; pet]: 2c -> c; it starts as their sum."""

    def __init__(self, width: int, *, norm: NormFactory) -> None:  # noqa: ARG002 what every merge is built with
        super().__init__()
        self.mix = nn.Conv2d(2 * width, width, 1)
        # A random mix would hand noise to a decoder that was trained on CT's maps and is frozen now.
        nn.init.dirac_(self.mix.weight[:, :width])
        nn.init.dirac_(self.mix.weight[:, width:])
        nn.init.zeros_(self.mix.get_parameter("bias"))

    def forward(self, ct: Tensor, pet: Tensor) -> Merged:
        """(ct, pet, W [ct ; pet]), each (b, c, y, x)."""
        return ct, pet, self.mix(torch.cat([ct, pet], dim=1))


class NoInteraction(nn.Module):
    """Adds zero; nothing to learn."""

    window: ClassVar[int] = 1

    def __init__(self, width: int, *, state: int, norm: NormFactory, mixer: MapMixerClass = SS2D) -> None:  # noqa: ARG002 as every interaction
        super().__init__()

    def forward(self, ct: Tensor, pet: Tensor) -> Tensor:  # noqa: ARG002 as every interaction
        """Zeros (b, c, y, x)."""
        return torch.zeros_like(ct)


MERGES: Mapping[str, MergeClass] = {
    "cgm": GatedSum,
    "cgm-without-residual": WeakenedSum,
    "sum": PlainSum,
    "concat": Concatenation,
}
INTERACTIONS: Mapping[str, InteractionClass] = {"dcim": Dcim, "none": NoInteraction}
