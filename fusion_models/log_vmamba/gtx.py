"""Global tokens of LoG-VMamba (GTX, arXiv 2408.14415): each token is a channel, its features mix all coarse positions.

    c = conv(m)             stride K, bias; W -> G = W / q channels, each a mix of q consecutive ones
    g = SiLU(mix(c))        c as G rows of T positions; mix: T -> W, so that a global token is as wide as a local one

    axes   K            kernel   dilation   pad
    2      1            1        1          0
    2      2, 4, 6 ..   K + 1    1          K / 2
    3      1            1        1          0
    3      2            3        1          1
    3      4            3        2          2
    3      8            5        2          3

`mix` has one column for each of the T coarse positions: the module belongs to one map size. q > 1 shortens the scan of
coarse stages; the paper's figure has q = 1, the official code both.
"""

import math
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from fusion_models.log_vmamba.ltx import CONVOLUTIONS

Window = tuple[int, int, int]
VOLUME_WINDOWS: dict[int, Window] = {1: (1, 1, 0), 2: (3, 1, 1), 4: (3, 2, 2), 8: (5, 2, 3)}


class GTX(nn.Module):
    """Global tokens of maps (b, *size, W): `tokens` of them, G = W / q, each W wide.

    Args:
        channels: W. size: of the map, 2 or 3 axes. stride: K. squeeze: q, a divisor of W.

    Raises:
        ValueError: q does not divide W, a stride without a window, or a map too small for its window.
    """

    def __init__(self, channels: int, *, size: Sequence[int], stride: int, squeeze: int) -> None:
        super().__init__()
        if squeeze < 1 or channels % squeeze:
            raise ValueError(f"squeeze must divide the {channels} channels of the local tokens, found {squeeze}")
        self.tokens = channels // squeeze
        kernel, dilation, pad = WINDOWS[len(size)](stride)
        self.conv = CONVOLUTIONS[len(size)](
            channels, self.tokens, kernel, stride=stride, padding=pad, dilation=dilation, groups=self.tokens
        )
        positions = [(each + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1 for each in size]
        if min(positions) < 1:
            raise ValueError(f"a GTX of stride {stride} needs a larger map, found {tuple(size)}")
        self.mix = nn.Linear(math.prod(positions), channels)

    def forward(self, m: Tensor) -> Tensor:
        """(b, *size, W) -> (b, G, W); the block around it has checked the size."""
        return F.silu(self.mix(self.conv(m.movedim(-1, 1)).flatten(2)))


def slice_window(stride: int) -> Window:
    """(kernel, dilation, pad) for two axes: K + 1 positions, centered, hence an even K; K = 1 keeps each position.

    Raises:
        ValueError: an odd stride above 1.
    """
    if stride < 1 or (stride > 1 and stride % 2):
        raise ValueError(f"the stride of a GTX on 2D maps must be 1 or even, found {stride}")
    return (stride + 1, 1, stride // 2) if stride > 1 else (1, 1, 0)


def volume_window(stride: int) -> Window:
    """(kernel, dilation, pad) for three axes.

    Raises:
        ValueError: a stride that the official code has no window for.
    """
    if stride not in VOLUME_WINDOWS:
        raise ValueError(f"the stride of a GTX on 3D maps must be one of {tuple(VOLUME_WINDOWS)}, found {stride}")
    return VOLUME_WINDOWS[stride]


WINDOWS = {2: slice_window, 3: volume_window}
