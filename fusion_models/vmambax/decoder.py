"""The decoder of channel-attentive state-space blocks (CVSS; Sigma, arXiv 2404.04256, as in vMambaX's official code).

    block:    x1  = scale1 * x + DropPath(SS2D(LayerNorm(x)))
              out = scale2 * x1 + CAB(LayerNorm(x1))
    CAB:      v   = conv3x3(GELU(conv3x3(x)))                                c -> c/3 -> c
              out = v * sigmoid(g(mean v) + g(max v)),  g = conv1x1, SiLU, conv1x1 without bias, c -> c//30 -> c
    decoder:  y = PatchExpand(F_last); from coarse to fine: y = upsample(blocks(y + F_i)); norm, FinalUpsample, head

Shapes: c a stage's width, p patch size; maps are channel last (b, y, x, c), convolutions run channel first.
Drop rates rise evenly from 0 over depth * stages blocks, counted from the finest level; the coarsest level has no
block, so its rates, the highest, are not used (paper: k * 0.1 / 15, k = 0..11 of 0..15).
Widths below 30 keep one channel in CAB (max(1, c//3), max(1, c//30)); the paper's widths are not concerned.
Not done: heads at the coarser levels, which the official code has and switches off.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from monai.networks.layers import DropPath
from torch import Tensor, nn

from fusion_models.ssm.drop_path import linear_rates
from fusion_models.ssm.patch_expand import PatchExpand
from fusion_models.ssm.vss import SS2D, MapMixerClass

SQUEEZE, ATTENTION_SQUEEZE = 3, 30


class UpsampleExpand(nn.Module):
    """Half the channels, then bilinear doubling: (b, y, x, c) -> (b, 2y, 2x, c/2)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width // 2, bias=False)
        self.norm = nn.LayerNorm(width // 2)

    def forward(self, x: Tensor) -> Tensor:
        """(b, y, x, c) -> (b, 2y, 2x, c/2)."""
        return self.norm(_double_size(self.linear(x)))


class FinalUpsample(nn.Module):
    """Back to full resolution by log2(patch) times linear and bilinear doubling: (b, y, x, c) -> (b, py, px, c)."""

    def __init__(self, width: int, *, patch: int) -> None:
        super().__init__()
        self.doublings = patch.bit_length() - 1
        for k in range(1, self.doublings + 1):
            self.add_module(f"linear{k}", nn.Linear(width, width, bias=False))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(b, y, x, c) -> (b, py, px, c)."""
        for k in range(1, self.doublings + 1):
            x = _double_size(self.get_submodule(f"linear{k}")(x))
        return self.norm(x)


class ChannelAttention(nn.Module):
    """v * sigmoid(g(mean v) + g(max v)), one g for both: (b, c, y, x) -> (b, c, y, x)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = max(1, width // ATTENTION_SQUEEZE)
        self.fc = nn.Sequential(
            nn.Conv2d(width, hidden, 1, bias=False), nn.SiLU(), nn.Conv2d(hidden, width, 1, bias=False)
        )

    def forward(self, v: Tensor) -> Tensor:
        """(b, c, y, x) -> (b, c, y, x)."""
        mean, largest = v.mean((2, 3), keepdim=True), v.amax((2, 3), keepdim=True)
        return v * torch.sigmoid(self.fc(mean) + self.fc(largest))


class ChannelAttentionBlock(nn.Module):
    """CAB: two convolutions, then channel attention; channel last outside: (b, y, x, c) -> (b, y, x, c)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = max(1, width // SQUEEZE)
        self.cab = nn.Sequential(
            nn.Conv2d(width, hidden, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(hidden, width, 3, padding=1),
            ChannelAttention(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(b, y, x, c) -> (b, y, x, c)."""
        return self.cab(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class CvssBlock(nn.Module):
    """scale2 * x1 + CAB(LayerNorm(x1)), x1 = scale1 * x + DropPath(SS2D(LayerNorm(x))); both scales start at one."""

    def __init__(self, width: int, *, state: int, drop_path: float = 0.0, mixer: MapMixerClass = SS2D) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.scale1, self.scale2 = nn.Parameter(torch.ones(width)), nn.Parameter(torch.ones(width))
        self.op = mixer(width, state=state)
        self.drop_path = DropPath(drop_path)
        self.conv_blk = ChannelAttentionBlock(width)

    def forward(self, x: Tensor) -> Tensor:
        """(b, y, x, c) -> (b, y, x, c)."""
        x = self.scale1 * x + self.drop_path(self.op(self.norm1(x)))
        return self.scale2 * x + self.conv_blk(self.norm2(x))


class CvssLevel(nn.Module):
    """One block for each drop rate, then `upsample`: (b, y, x, c) -> what `upsample` makes of it."""

    def __init__(
        self, width: int, *, state: int, drop_paths: Sequence[float], upsample: nn.Module, mixer: MapMixerClass = SS2D
    ) -> None:
        super().__init__()
        blocks = (CvssBlock(width, state=state, drop_path=rate, mixer=mixer) for rate in drop_paths)
        self.blocks = nn.Sequential(*blocks)
        self.upsample = upsample

    def forward(self, x: Tensor) -> Tensor:
        """(b, y, x, c) -> (b, 2y, 2x, c/2), or the same shape at the finest level."""
        return self.upsample(self.blocks(x))


class CvssDecoder(nn.Module):
    """Logits at full resolution from one map a stage.

    Args:
        widths: channels of the maps, finest first, each twice the one before; at least two.
        classes: output channels. patch: pixels per cell of the finest map, a power of two.
        depth: blocks a level. state: states a channel of their scans. drop_path: highest drop rate.
        mixer: what mixes the pixels in each block.

    Raises:
        ValueError: fewer than two widths, or they do not double.
    """

    def __init__(
        self,
        widths: Sequence[int],
        *,
        classes: int,
        patch: int,
        depth: int,
        state: int,
        drop_path: float,
        mixer: MapMixerClass = SS2D,
    ) -> None:
        super().__init__()
        _check_widths(widths)
        rates = drop_rates(levels=len(widths) - 1, depth=depth, highest=drop_path)
        levels = [
            CvssLevel(
                width,
                state=state,
                drop_paths=rates[i],
                upsample=UpsampleExpand(width) if i else nn.Identity(),
                mixer=mixer,
            )
            for i, width in reversed(list(enumerate(widths[:-1])))
        ]
        self.layers_up = nn.ModuleList([PatchExpand(widths[-1]), *levels])
        self.norm_up = nn.LayerNorm(widths[0])
        self.up = FinalUpsample(widths[0], patch=patch)
        self.output = nn.Conv2d(widths[0], classes, 1, bias=False)
        self.apply(_kaiming)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps F_i (b, y / p 2^i, x / p 2^i, c 2^i), finest first -> logits (b, classes, y, x)."""
        expand, *levels = self.layers_up
        y = expand(maps[-1])
        for level, skip in zip(levels, reversed(maps[:-1]), strict=True):
            y = level(y + skip)
        return self.output(self.up(self.norm_up(y)).permute(0, 3, 1, 2))


def drop_rates(*, levels: int, depth: int, highest: float) -> list[list[float]]:
    """Drop rates of each level's blocks, finest level first: k * highest / (depth * (levels + 1) - 1)."""
    rates = linear_rates(0.0, highest, depth * (levels + 1))
    return [rates[depth * i : depth * (i + 1)] for i in range(levels)]


def _double_size(x: Tensor) -> Tensor:
    """Bilinear, corners not aligned: (b, y, x, c) -> (b, 2y, 2x, c)."""
    return F.interpolate(x.permute(0, 3, 1, 2), scale_factor=2, mode="bilinear").permute(0, 2, 3, 1)


def _kaiming(module: nn.Module) -> None:
    """Weights of convolutions ~ N(0, 2 / fan_in); biases as they are."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")


def _check_widths(widths: Sequence[int]) -> None:
    expected = [widths[0] * 2**i for i in range(max(2, len(widths)))] if widths else "at least two, each double"
    if list(widths) != expected:
        raise ValueError(f"the decoder's widths must double from stage to stage, found {list(widths)}, not {expected}")
