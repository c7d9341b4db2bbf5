"""A 3D U-Net with a residual encoder, ResEnc-like: the plain CNN of "nnU-Net Revisited" (arXiv 2404.09556).

    s      = LeakyReLU(norm(conv3(x)))                  the stem, w_0 channels at full resolution
    m_0    = stage_0(s);  m_i = stage_i(m_{i-1})        n_i residual blocks each, the first of stage i > 0 with stride 2
    y_n    = m_n
    y_i    = LeakyReLU(norm(conv3([up(y_{i+1}) ; m_i])))    one convolution a stage: the decoder is light
    logits = conv1(y_0);  a coarser scale i has a conv1 of its own, where it is trained

    block  x -> LeakyReLU(norm(conv3(LeakyReLU(norm(conv3(x))))) + skip(x)), MONAI's `UnetResBlock`
    up     transposed convolution, kernel and stride 2;  norm: instance norm, affine;  leak 0.01

Shapes: m_i (b, w_i, z / 2^i, y / 2^i, x / 2^i). ResEnc M of the paper has w = 32, 64, 128, 256, 320, 320 and
n = 1, 3, 4, 6, 6, 6. Convolutions start Kaiming normal for this leak, as there.

Where this differs from nnU-Net's network: the skip of a striding block is a strided 1x1x1 convolution with a norm, in
place of average pooling before it; a convolution that a norm follows has no bias (the norm takes it out again); the
last norm of a block starts at one, not at zero; kernels and strides are the same on all axes and not planned from
the data.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from monai.networks.blocks.convolutions import Convolution
from monai.networks.blocks.dynunet_block import UnetResBlock, get_conv_layer
from torch import Tensor, nn

LEAK = 0.01
NORM = ("instance", {"affine": True})
ACT = ("leakyrelu", {"inplace": True, "negative_slope": LEAK})


class DecoderStage(nn.Module):
    """One step up: (b, inputs, z, y, x) and a skip (b, width, 2z, 2y, 2x) -> (b, width, 2z, 2y, 2x)."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.up = get_conv_layer(3, inputs, width, kernel_size=2, stride=2, is_transposed=True)
        self.mix = Convolution(3, 2 * width, width, kernel_size=3, norm=NORM, act=ACT, bias=False)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Upsample, put the skip beside it, mix."""
        mixed: Tensor = self.mix(torch.cat([self.up(x), skip], dim=1))
        return mixed


class ResEncUNet(nn.Module):
    """The network of one input.

    Args:
        classes: output channels, background included.
        widths: w_i, channels of each stage, finest first. blocks: n_i, residual blocks of each.
        supervised_scales: scales that have an output, finest first; at most one less than there are stages.

    Raises:
        ValueError: sizes that do not fit each other.
    """

    def __init__(self, *, classes: int, widths: Sequence[int], blocks: Sequence[int], supervised_scales: int) -> None:
        super().__init__()
        check_stages(widths, blocks, supervised_scales)
        self.stem, self.stages = residual_encoder(widths, blocks)
        steps = pairwise(reversed(widths))
        self.decoder = nn.ModuleList(DecoderStage(below, here) for below, here in steps)
        self.heads = nn.ModuleList(nn.Conv3d(width, classes, 1) for width in widths[:supervised_scales])
        self.apply(kaiming)

    def forward(self, x: Tensor) -> Tensor:
        """(b, 1, z, y, x) -> logits (b, classes, z, y, x)."""
        logits: Tensor = self.heads[0](decode(encode(x, self.stem, self.stages), self.decoder)[0])
        return logits


def residual_encoder(widths: Sequence[int], blocks: Sequence[int]) -> tuple[nn.Module, nn.ModuleList]:
    """The stem of one image channel, and the stages, finest first."""
    stem = Convolution(3, 1, widths[0], kernel_size=3, norm=NORM, act=ACT, bias=False)
    stages = nn.ModuleList()
    for index, (before, width) in enumerate(pairwise((widths[0], *widths))):
        first = UnetResBlock(3, before, width, 3, stride=2 if index else 1, norm_name=NORM, act_name=ACT)
        rest = (
            UnetResBlock(3, width, width, 3, stride=1, norm_name=NORM, act_name=ACT) for _ in range(1, blocks[index])
        )
        stages.append(nn.Sequential(first, *rest))
    return stem, stages


def encode(x: Tensor, stem: nn.Module, stages: nn.ModuleList) -> list[Tensor]:
    """m_0..m_n of an image (b, 1, z, y, x), finest first."""
    x = stem(x)
    maps = []
    for stage in stages:
        x = stage(x)
        maps.append(x)
    return maps


def decode(maps: Sequence[Tensor], decoder: nn.ModuleList) -> list[Tensor]:
    """y_0..y_{n-1} of m_0..m_n, finest first."""
    *skips, x = maps
    found = []
    for step, skip in zip(decoder, reversed(skips), strict=True):
        x = step(x, skip)
        found.append(x)
    return found[::-1]


def kaiming(module: nn.Module) -> None:
    """A convolution starts Kaiming normal for the leak, its bias zero; anything else stays."""
    if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
        nn.init.kaiming_normal_(module.weight, a=LEAK)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def check_stages(widths: Sequence[int], blocks: Sequence[int], supervised_scales: int) -> None:
    """Refuse fewer than two stages, lists of different lengths, and more outputs than the decoder has scales."""
    if len(widths) < 2:
        raise ValueError(f"widths must name at least two stages, found {tuple(widths)}")
    if len(blocks) != len(widths):
        raise ValueError(f"blocks must have {len(widths)} entries, one for each stage, found {tuple(blocks)}")
    if not 1 <= supervised_scales < len(widths):
        raise ValueError(
            f"supervised_scales must be 1 to {len(widths) - 1}, the decoder's scales, found {supervised_scales}"
        )


def check_size(size_zyx: Sequence[int], stages: int) -> None:
    """Refuse images that do not halve `stages` - 1 times, and those of which one voxel is left: it has no norm.

    Raises:
        ValueError: with the size found and what it must be.
    """
    factor = 2 ** (stages - 1)
    if len(size_zyx) != 3 or any(size % factor or size <= 0 for size in size_zyx):
        raise ValueError(f"{stages} stages need three positive multiples of {factor}, found {tuple(size_zyx)}")
    if all(size == factor for size in size_zyx):
        raise ValueError(
            f"{stages} stages reduce {tuple(size_zyx)} to one voxel, which cannot be normalised; expected at least "
            f"{2 * factor} on one axis, or fewer stages"
        )
