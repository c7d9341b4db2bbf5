"""The dilated gated convolution block of ClinicalFMamba (arXiv 2508.03008, as its code computes it); channel first.

    g   = LReLU(Conv3(N(x))) * LReLU(Conv1(N'(x)))
    2D  p = LReLU(N(LReLU(DConv3_d(N(g)))));   out = x + c(p) + c(c(p)) + c(c(c(p)))     one shared Conv3 c
    3D  out = x + LReLU(DConv3_d(N(g)))                                                  no pyramid, no fourth norm

The paper's figure draws six independent convolutions for the pyramid; its count of parameters has one. N is the
paper's batch norm, or another (`fusion_models.vmambax.norms`).
"""

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from fusion_models.vmambax.norms import NormFactory

SLOPE = 0.2
CONVOLUTIONS: Mapping[int, type[nn.Conv2d | nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}


class GatedConvolution(nn.Module):
    """LReLU(Conv3(N(x))) * LReLU(Conv1(N'(x))) over (b, channels, *size)."""

    def __init__(self, channels: int, *, axes: int, norm: NormFactory) -> None:
        super().__init__()
        convolution = CONVOLUTIONS[axes]
        self.norm3, self.norm1 = norm(channels), norm(channels)
        self.conv3 = convolution(channels, channels, 3, padding=1)
        self.conv1 = convolution(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(b, channels, *size) -> the same."""
        return _lrelu(self.conv3(self.norm3(x))) * _lrelu(self.conv1(self.norm1(x)))


class DGCB(nn.Module):
    """The block over (b, channels, *size), 3D.

    Args:
        channels: of input and output. dilation: of its second 3-wide convolution. axes: 2 or 3.
    """

    def __init__(self, channels: int, *, dilation: int, axes: int, norm: NormFactory) -> None:
        super().__init__()
        self.gated = GatedConvolution(channels, axes=axes, norm=norm)
        self.norm = norm(channels)
        self.dilated = CONVOLUTIONS[axes](channels, channels, 3, padding=dilation, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        """(b, channels, *size) -> the same."""
        return x + self.spread(x)

    def spread(self, x: Tensor) -> Tensor:
        """What is added to x."""
        return _lrelu(self.dilated(self.norm(self.gated(x))))


class PyramidDGCB(DGCB):
    """The block with its linear pyramid, 2D; arguments as in `DGCB`."""

    def __init__(self, channels: int, *, dilation: int, axes: int, norm: NormFactory) -> None:
        super().__init__(channels, dilation=dilation, axes=axes, norm=norm)
        self.pyramid_norm = norm(channels)
        self.pyramid = CONVOLUTIONS[axes](channels, channels, 3, padding=1)

    def spread(self, x: Tensor) -> Tensor:
        """The pyramid's three levels, summed."""
        level = _lrelu(self.pyramid_norm(super().spread(x)))
        first = self.pyramid(level)
        second = self.pyramid(first)
        return first + second + self.pyramid(second)


BLOCKS: Mapping[int, type[DGCB]] = {2: PyramidDGCB, 3: DGCB}
"""Axes -> block."""


def _lrelu(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE)
