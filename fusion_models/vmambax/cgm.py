"""CGM, context-gated cross-modal perception: each map amplified where both say so (arXiv 2510.27508).

For modality m with the other modality o, maps X (b, c, y, x), h = max(c // 4, 32):

    F_m = [X_o ; X_m]                                                      (b, 2c, y, x), the other modality first
    c_m = sigmoid(W_2 GELU(norm(W_1 mean_yx(F_m))))                        (b, c, 1, 1), 2c -> h -> c
    s_m = sigmoid(3x3 convolution of F_m)                                  (b, 1, y, x)
    G_m = c_m * s_m                                                        (b, c, y, x), in (0, 1)
    Y_m = X_m * (1 + G_m)                                                  amplify; or X_m * G_m, weaken

Both gates read the maps before gating. G near 0 or 1 everywhere is the module's way to fail: see `GateStatistics`.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from fusion_models.vmambax.norms import NormFactory

LEAST_HIDDEN = 32

OFFICIAL_NAMES: Mapping[str, str] = {
    "channel_gate_rgb.": "ct_gate.channel.",
    "channel_gate_pet.": "pet_gate.channel.",
    "spatial_gate_rgb.0.": "ct_gate.spatial.",
    "spatial_gate_pet.0.": "pet_gate.spatial.",
}
"""Prefixes of the official code's tensors below one CGM -> ours; its "rgb" is the CT."""


class ContextGate(nn.Module):
    """The gate G of one modality of `width` channels."""

    def __init__(self, width: int, *, norm: NormFactory) -> None:
        super().__init__()
        hidden = max(width // 4, LEAST_HIDDEN)
        self.channel = nn.Sequential(
            nn.Conv2d(2 * width, hidden, 1, bias=False), norm(hidden), nn.GELU(), nn.Conv2d(hidden, width, 1)
        )
        self.spatial = nn.Conv2d(2 * width, 1, 3, padding=1, bias=False)

    def forward(self, other: Tensor, own: Tensor) -> Tensor:
        """G (b, c, y, x) of maps (b, c, y, x)."""
        both = torch.cat([other, own], dim=1)
        pooled = both.mean(dim=(2, 3), keepdim=True)
        return torch.sigmoid(self.channel(pooled)) * torch.sigmoid(self.spatial(both))


def amplify(x: Tensor, gate: Tensor) -> Tensor:
    """X (1 + G), the paper's residual form: between X and 2X."""
    return x * (1 + gate)


def weaken(x: Tensor, gate: Tensor) -> Tensor:
    """X G, the form without residual: between 0 and X."""
    return x * gate


class Cgm(nn.Module):
    """CT and PET of `width` channels, each gated by what both show; the two gates share no weights."""

    def __init__(self, width: int, *, norm: NormFactory, gating: Callable[[Tensor, Tensor], Tensor] = amplify) -> None:
        super().__init__()
        self.gating = gating
        self.ct_gate = ContextGate(width, norm=norm)
        self.pet_gate = ContextGate(width, norm=norm)

    def forward(self, ct: Tensor, pet: Tensor) -> tuple[Tensor, Tensor]:
        """Gated CT and PET, each (b, c, y, x)."""
        return self.gating(ct, self.ct_gate(pet, ct)), self.gating(pet, self.pet_gate(ct, pet))
