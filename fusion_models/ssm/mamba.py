"""Mamba (arXiv 2312.00752, figure 3) over maps read in one or several orders; channel last.

    [v, gate] = in_proj(x)                              c -> 2d, d = 2c, no bias
    y         = norm(scan(v) * SiLU(gate))              mean over the orders; every order has the same gate
    out       = out_proj(y)                             d -> c, no bias
    block     = x + Mamba(LayerNorm(x))

One order and no inner norm are the plain, causal Mamba.
"""

import math
from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from fusion_models.ssm.directional_scan import DirectionalScan
from fusion_models.ssm.scan_orders import ScanOrder

EXPANSION = 2


class Mamba(nn.Module):
    """Mixes the positions of maps of `width` channels.

    Args:
        width: c. orders: of the scans. state: states a channel; the step's rank is ceil(width / 16).
        inner_norm: channels -> module before out_proj; `nn.Identity` for none.
    """

    def __init__(
        self,
        width: int,
        *,
        orders: Sequence[ScanOrder],
        state: int,
        inner_norm: Callable[[int], nn.Module] = nn.LayerNorm,
    ) -> None:
        super().__init__()
        inner = EXPANSION * width
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        self.scan = DirectionalScan(inner, orders=orders, state=state, rank=math.ceil(width / 16))
        self.inner_norm = inner_norm(inner)
        self.out_proj = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor, selectors: Tensor | None = None) -> Tensor:
        """Maps (b, *size, c) -> the same; `selectors` (b, *size, 2c) drive the scans' states instead of x's values."""
        v, gate = self.in_proj(x).chunk(2, dim=-1)
        y = self.scan(v, selectors) * F.silu(gate)
        return self.out_proj(self.inner_norm(y))


class MambaBlock(nn.Module):
    """x + Mamba(LayerNorm(x)).

    Args:
        mamba: what mixes the positions.
    """

    def __init__(self, mamba: Mamba) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(mamba.in_proj.in_features)
        self.mamba = mamba

    def forward(self, x: Tensor) -> Tensor:
        """Maps (b, *size, c) -> the same."""
        return x + self.mamba(self.norm(x))
