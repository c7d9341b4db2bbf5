"""Channel exchange between two modalities, in the 2D code of ClinicalFMamba and not in its paper; channel last.

    r_m = t_m + r_m                                          the residual, 0 before the first round
    n_1, n_2 = LayerNorm_1(r_1), LayerNorm_2(r_2) with their even channels exchanged
    t_m = Mamba_m(n_m)                                       plain and causal, 16 states where the others have 8

It is applied `rounds` times with the same weights; what is left of the residual is not added back.
"""

import torch
from torch import Tensor, nn

from fusion_models.ssm.mamba import Mamba
from fusion_models.ssm.scan_orders import ScanOrder


class ChannelExchange(nn.Module):
    """Exchanges between maps (b, *size, width) of two modalities, read once in raster order.

    Args:
        width: channels, an even number. axes: 2 or 3. state: states a channel of its scans. rounds: how often.
    """

    def __init__(self, width: int, *, axes: int, state: int, rounds: int) -> None:
        super().__init__()
        self.rounds = rounds
        raster = (ScanOrder(tuple(range(axes))),)
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(2)])
        self.mixers = nn.ModuleList(
            [Mamba(width, orders=raster, state=state, inner_norm=nn.Identity) for _ in range(2)]
        )

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (b, *size, width) of both modalities -> the same."""
        tokens = (first, second)
        residuals: tuple[Tensor, ...] = tokens
        for number in range(self.rounds):
            if number:
                residuals = tuple(t + r for t, r in zip(tokens, residuals, strict=True))
            normed = [norm(r) for norm, r in zip(self.norms, residuals, strict=True)]
            mixed = [mixer(n) for mixer, n in zip(self.mixers, exchange_even(*normed), strict=True)]
            tokens = (mixed[0], mixed[1])
        return tokens


def exchange_even(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Both (b, *size, c), with channels 0, 2, 4, ... of each in the other's place."""
    even = torch.arange(first.shape[-1], device=first.device) % 2 == 0
    return torch.where(even, second, first), torch.where(even, first, second)
