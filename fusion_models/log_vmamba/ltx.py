"""Local tokens of LoG-VMamba (LTX, arXiv 2408.14415): each token holds the neighbourhood of its position.

    m = SiLU(conv(a))      3^n kernel, zero pad 1, bias; D -> D / S channels, each a mix of S consecutive ones
    v = unfold(m)          channel c r + s: channel c of neighbour s; r = 3^n neighbours, row-major, zeros outside

S = 1 is a depthwise convolution, which without the unfold makes the plain tokens of a VSS block. Maps are channel last
(b, *size, channels) with n = 2 or 3 axes of size.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDE = 3
CONVOLUTIONS: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}


class GroupedConv(nn.Module):
    """SiLU(conv(a)), each of `outputs` channels from its own D / `outputs` consecutive ones of `channels`.

    Args:
        channels: D. outputs: D / S, a divisor of D. axes: n, 2 or 3.
    """

    def __init__(self, channels: int, outputs: int, *, axes: int) -> None:
        super().__init__()
        self.conv = CONVOLUTIONS[axes](channels, outputs, SIDE, padding=1, groups=outputs)

    @staticmethod
    def neighbours(_axes: int) -> int:
        """Positions of the convolved map that a token holds."""
        return 1

    def forward(self, a: Tensor) -> Tensor:
        """(b, *size, D) -> (b, *size, D / S)."""
        return F.silu(self.conv(a.movedim(-1, 1))).movedim(1, -1)


class LTX(GroupedConv):
    """`GroupedConv`, then the 3^n neighbourhood of each position; nothing to learn in the second step."""

    @staticmethod
    def neighbours(axes: int) -> int:
        """r = 3^n."""
        return SIDE**axes

    def forward(self, a: Tensor) -> Tensor:
        """(b, *size, D) -> (b, *size, r D / S)."""
        return unfold(super().forward(a))


def unfold(m: Tensor) -> Tensor:
    """(b, *size, c) -> (b, *size, c r): of each channel its 3^n neighbours, zeros outside of the map.

    Stacked, because torch.func cannot map the gradient of `Tensor.unfold` over patients; it is no slower.
    """
    axes = m.ndim - 2
    windows = F.pad(m, (0, 0) + (1, 1) * axes)
    for axis in range(axes, 0, -1):
        shifted = [windows.narrow(axis, first, m.shape[axis]) for first in range(SIDE)]
        windows = torch.stack(shifted, dim=axes + 2)
    return windows.flatten(axes + 1)
