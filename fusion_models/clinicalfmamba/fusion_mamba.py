"""The Fusion Mamba block: one modality's tokens scanned by a state that the other drives (arXiv 2508.03008).

    FM(a | b) = a + out_proj(LayerNorm(scan(v_a; delta, B, C of v_b) * SiLU(gate)))
    [v_a, gate] = in_proj(LayerNorm(a)),   v_b = other_proj(LayerNorm'(b))       c -> 2c, no convolution on v_b

Over maps (b, *size, c), channel last; the mean of all orders is normalised, a itself is not.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from fusion_models.ssm.mamba import EXPANSION, Mamba
from fusion_models.ssm.scan_orders import ScanOrder


class FusionMamba(nn.Module):
    """FM(a | b) over maps of `width` channels; arguments as in `Mamba`."""

    def __init__(self, width: int, *, orders: Sequence[ScanOrder], state: int) -> None:
        super().__init__()
        self.norm, self.other_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.other_proj = nn.Linear(width, EXPANSION * width, bias=False)
        self.mamba = Mamba(width, orders=orders, state=state)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Maps a and b (b, *size, c) -> the same; b acts through the scans' parameters alone."""
        return a + self.mamba(self.norm(a), self.other_proj(self.other_norm(b)))
