"""The VSS block of VMamba's first version: a four-direction selective scan over a map, no MLP; channel last.

    [a, z] = in_proj(x)                         c -> 2d, d = 2c, no bias
    a      = SiLU(depthwise 3x3(a))
    y      = cross_merge(S6_k(cross_scan(a)_k))  k = 0..3
    out    = out_proj(LayerNorm(y) * SiLU(z))   d -> c, no bias
    block  = x + DropPath(SS2D(LayerNorm(x)))
"""

import math

import torch
import torch.nn.functional as F
from monai.networks.layers import DropPath
from torch import Tensor, nn

from fusion_models.ssm.cross_scan import cross_merge, cross_scan
from fusion_models.ssm.s6 import S6
from fusion_models.ssm.selective_scan import selective_scan_fn

DIRECTIONS = 4
EXPANSION = 2


class SS2D(nn.Module):
    """Four-direction scan over maps of `width` channels, `state` states a channel; step rank ceil(width / 16)."""

    def __init__(self, width: int, *, state: int) -> None:
        super().__init__()
        inner, rank = EXPANSION * width, math.ceil(width / 16)
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        self.conv2d = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        self.directions = nn.ModuleList([S6(inner, state=state, rank=rank) for _ in range(DIRECTIONS)])
        self.out_norm = nn.LayerNorm(inner)
        self.out_proj = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (b, y, x, c) -> (b, y, x, c)."""
        a, z = self.in_proj(x).chunk(2, dim=-1)
        a = F.silu(self.conv2d(a.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)
        y = cross_merge(self._scan(cross_scan(a)), (x.shape[1], x.shape[2]))
        return self.out_proj(self.out_norm(y) * F.silu(z))

    def _scan(self, sequences: Tensor) -> Tensor:
        """All directions in one call: (b, 4, l, d) -> (b, 4, l, d)."""
        with torch.autocast(sequences.device.type, enabled=False):
            sequences = sequences if sequences.dtype == torch.float64 else sequences.float()
            found = [s6.parameters_of(sequences[:, k]) for k, s6 in enumerate(self.directions)]
            delta, b, c = (torch.stack(each, dim=1) for each in zip(*found, strict=True))
            y = selective_scan_fn(
                _time_last(sequences),
                _time_last(delta),
                torch.cat([s6.A for s6 in self.directions]),
                b.transpose(2, 3),
                c.transpose(2, 3),
                torch.cat([s6.D for s6 in self.directions]),
                delta_softplus=True,
            )
        return y.unflatten(1, (DIRECTIONS, -1)).transpose(2, 3)


class VSSBlock(nn.Module):
    """x + DropPath(SS2D(LayerNorm(x))) over maps of `width` channels."""

    def __init__(self, width: int, *, state: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.op = SS2D(width, state=state)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (b, y, x, c) -> (b, y, x, c)."""
        return x + self.drop_path(self.op(self.norm(x)))


def _time_last(sequences: Tensor) -> Tensor:
    """(b, 4, l, d) -> (b, 4d, l)."""
    return sequences.transpose(2, 3).flatten(1, 2)
