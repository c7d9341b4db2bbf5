"""The VSS block of VMamba's first version: a four-direction selective scan over a map, no MLP; channel last.

[a, z] = in_proj(x)                         c -> 2d, d = 2c, no bias
a      = SiLU(depthwise 3x3(a))
y      = cross_merge(S6_k(cross_scan(a)_k))  k = 0..3
out    = out_proj(LayerNorm(y) * SiLU(z))   d -> c, no bias
block  = x + DropPath(SS2D(LayerNorm(x)))
"""

import math
from abc import ABC, abstractmethod
from typing import Protocol, cast

import torch
import torch.nn.functional as F
from monai.networks.layers import DropPath
from torch import Tensor, nn

from fusion_models.ssm.cross_scan import DIRECTIONS, cross_merge, cross_scan, reading, stack_sequences
from fusion_models.ssm.s6 import S6, in_full_precision
from fusion_models.ssm.selective_scan import selective_scan_fn

EXPANSION = 2


class GatedMapMixer(nn.Module, ABC):
    """out_proj(LayerNorm(mix(a)) * SiLU(z)) over maps of `width` channels: all of SS2D but its scan, which is `mix`.

    Args:
        width: c. state: states a channel of the scan, whose step has rank ceil(width / 16).
    """

    def __init__(self, width: int, *, state: int) -> None:
        super().__init__()
        inner, rank = EXPANSION * width, math.ceil(width / 16)
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        self.conv2d = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        self.add_mixer(inner, state=state, rank=rank)
        self.out_norm = nn.LayerNorm(inner)
        self.out_proj = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (b, y, x, c) -> (b, y, x, c)."""
        a, z = self.in_proj(x).chunk(2, dim=-1)
        a = F.silu(self.conv2d(a.permute(0, 3, 1, 2))).permute(0, 2, 3, 1).contiguous()
        return self.out_proj(self.out_norm(self.mix(a)) * F.silu(z))

    @abstractmethod
    def add_mixer(self, inner: int, *, state: int, rank: int) -> None:
        """Add the modules of `mix`, for maps of `inner` channels."""

    @abstractmethod
    def mix(self, maps: Tensor) -> Tensor:
        """(b, y, x, d) -> (b, y, x, d)."""


class MapMixerClass(Protocol):
    """Builds what mixes the pixels of maps (b, y, x, width) in a block; `state` as in the scan it is or stands for."""

    def __call__(self, width: int, *, state: int) -> GatedMapMixer:
        """The mixer, freshly drawn."""
        ...


class SS2D(GatedMapMixer):
    """Four-direction scan over maps of `width` channels, `state` states a channel; step rank ceil(width / 16)."""

    def add_mixer(self, inner: int, *, state: int, rank: int) -> None:
        """One scan a direction."""
        self.directions = nn.ModuleList([S6(inner, state=state, rank=rank) for _ in range(DIRECTIONS)])

    def mix(self, maps: Tensor) -> Tensor:
        """The sum of all directions' scans, made in one call: (b, y, x, d) -> (b, y, x, d)."""
        with in_full_precision(maps, self._s6()[0].A_log) as a:
            delta, b, c = self._selection(a)
            y = selective_scan_fn(
                _time_last(cross_scan(a)).flatten(1, 2),
                _time_last(delta).flatten(1, 2),
                torch.cat([s6.A for s6 in self._s6()]),
                _time_last(b),
                _time_last(c),
                torch.cat([s6.D for s6 in self._s6()]),
                delta_softplus=True,
            )
            sequences = y.unflatten(1, (DIRECTIONS, -1)).transpose(2, 3)
            return cross_merge(sequences, (a.shape[1], a.shape[2]))

    def _selection(self, a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of a map (b, y, x, d): delta (b, 4, l, d) before the softplus, B and C (b, 4, l, N).

        x_proj sees one pixel at a time, so it comes before the reading: its R + 2N columns are fewer than d.
        """
        found = [s6.parameters_from(reading(s6.x_proj(a), k)) for k, s6 in enumerate(self._s6())]
        delta, b, c = (stack_sequences(each) for each in zip(*found, strict=True))
        return delta, b, c

    def _s6(self) -> list[S6]:
        return cast("list[S6]", list(self.directions))


class VSSBlock(nn.Module):
    """x + DropPath(SS2D(LayerNorm(x))) over maps of `width` channels; `mixer` may stand for SS2D."""

    def __init__(self, width: int, *, state: int, drop_path: float = 0.0, mixer: MapMixerClass = SS2D) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.op = mixer(width, state=state)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (b, y, x, c) -> (b, y, x, c)."""
        return x + self.drop_path(self.op(self.norm(x)))


def _time_last(sequences: Tensor) -> Tensor:
    """(b, 4, l, d) -> (b, 4, d, l), a view."""
    return sequences.transpose(2, 3)
