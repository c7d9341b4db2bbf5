"""U-Mamba-Enc with LoG layers, 3D (arXiv 2408.14415 in the host of arXiv 2401.04722, as the official code edits it).

    s    = stem(x)                          full resolution, w_0 channels; kept as the finest skip
    m_0  = scan_0(stage_0(max_pool_2(s)))   half resolution; m_i = scan_i(stage_i(m_{i-1})), stride 2 from i = 1 on
    y_n  = m_n;  y_i = blocks_i(up(y_{i+1}) + m_i)
    out  = head(block(up(y_0) + s))

    residual  LeakyReLU(norm(conv(LeakyReLU(norm(conv(x))))) + skip(x)), 3x3x3 with bias; skip is a 1x1x1 convolution,
              or nothing
    norm      instance norm, affine, eps 1e-5
    up        trilinear, factor 2, then a 1x1x1 convolution; skips are added, not concatenated
    scan_i    one LoG block, l, log or g in the paper, on the channel-last map, residual inside

The paper's layers, 128^3 voxels, expansion 1, 16 states (L local tokens, G global tokens, W scan width):

    i   map    width   variant   W     L         G      weights
    0   64^3   32      l         54    262,144   -      9,655
    1   32^3   64      log       108   32,768    108    87,257
    2   16^3   128     log       216   4,096     216    215,209
    3   8^3    256     g         256   512       128    357,504
    4   4^3    320     g         320   64        40     367,400

Not done: the channel tokens of the upstream bottleneck, which the official code disables, and scans in half precision.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from fusion_models.log_vmamba.block import LogBlock
from fusion_models.log_vmamba.hosts import LEAK, check_stages, global_tokens, kaiming


class ResidualBlock(nn.Module):
    """Two 3x3x3 convolutions with instance norms beside a skip: (b, inputs, z, y, x) -> (b, outputs, z', y', x')."""

    def __init__(self, inputs: int, outputs: int, *, skip: nn.Module, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(inputs, outputs, 3, stride=stride, padding=1)
        self.norm1 = nn.InstanceNorm3d(outputs, affine=True)
        self.conv2 = nn.Conv3d(outputs, outputs, 3, padding=1)
        self.norm2 = nn.InstanceNorm3d(outputs, affine=True)
        self.skip = skip

    def forward(self, x: Tensor) -> Tensor:
        """LeakyReLU(norm(conv(LeakyReLU(norm(conv(x))))) + skip(x))."""
        y = F.leaky_relu(self.norm1(self.conv1(x)), LEAK, inplace=True)
        return F.leaky_relu(self.norm2(self.conv2(y)) + self.skip(x), LEAK, inplace=True)


class Up(nn.Module):
    """Trilinear upsampling by two, then a 1x1x1 convolution: (b, inputs, z, y, x) -> (b, outputs, 2z, 2y, 2x)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Upsample, then mix channels."""
        return self.conv(F.interpolate(x, scale_factor=2, mode="trilinear"))


class UMambaEnc(nn.Module):
    """The network of one input: stem, stages with their LoG layers, decoder.

    Args:
        in_channels: input channels. classes: output channels.
        size_zyx: input size in voxels, a multiple of 2^stages on each axis; the coarsest map needs two voxels or more.
        widths: channels of each stage; the stem has the first. blocks: residual blocks of each stage.
        decoder_blocks: residual blocks of each decoder stage, coarsest first.
        scan_options: what else `scan_layers` takes.

    Raises:
        ValueError: sizes that do not fit each other; the message names those found and those expected.
    """

    def __init__(
        self,
        *,
        in_channels: int = 4,
        classes: int = 3,
        size_zyx: Sequence[int],
        widths: Sequence[int],
        blocks: Sequence[int],
        decoder_blocks: Sequence[int],
        **scan_options: Any,
    ) -> None:
        super().__init__()
        check_size(size_zyx, len(widths))
        check_stages(len(widths), blocks=blocks)
        check_stages(len(widths) - 1, decoder_blocks=decoder_blocks)
        check_counts(blocks=blocks, decoder_blocks=decoder_blocks, widths=widths)
        self.shape, self.widths = (in_channels, *size_zyx), tuple(widths)
        self.stem = residual_stage(in_channels, widths[0], blocks[0], stride=1)
        self.stages = encoder_stages(widths, blocks)
        self.scans = scan_layers(widths, size_zyx, **scan_options)
        self.ups, self.decoder = decoder_stages(widths, decoder_blocks)
        self.last_up = Up(widths[0], widths[0])
        self.last_block = ResidualBlock(widths[0], widths[0], skip=nn.Identity())
        self.head = nn.Conv3d(widths[0], classes, 1)
        self.apply(kaiming)

    def forward(self, x: Tensor) -> Tensor:
        """(b, in_channels, z, y, x) -> logits (b, classes, z, y, x)."""
        maps = encode(self.stem(x), self.stages, self.scans)
        return self.head(decode(maps, [*self.ups, self.last_up], [*self.decoder, self.last_block]))


def encode(stem: Tensor, stages: Iterable[nn.Module], scans: Iterable[nn.Module]) -> list[Tensor]:
    """The stem's map (b, w_0, z, y, x) and after it the map of each stage, finest first."""
    maps = [stem]
    x = F.max_pool3d(stem, 2)
    for stage, scan in zip(stages, scans, strict=True):
        x = scan(stage(x).movedim(1, -1)).movedim(-1, 1)
        maps.append(x)
    return maps


def decode(maps: Sequence[Tensor], ups: Iterable[nn.Module], blocks: Iterable[nn.Module]) -> Tensor:
    """Maps of `encode` -> what the head reads (b, w_0, z, y, x); `ups` and `blocks` in order, coarsest first."""
    *skips, x = maps
    for up, block, skip in zip(ups, blocks, reversed(skips), strict=True):
        x = block(up(x) + skip)
    return x


def residual_stage(inputs: int, width: int, blocks: int, *, stride: int) -> nn.Sequential:
    """One block with a convolution on its skip, which may stride and widen, then plain ones."""
    first = ResidualBlock(inputs, width, stride=stride, skip=nn.Conv3d(inputs, width, 1, stride=stride))
    return nn.Sequential(first, *(ResidualBlock(width, width, skip=nn.Identity()) for _ in range(blocks - 1)))


def encoder_stages(widths: Sequence[int], blocks: Sequence[int]) -> nn.ModuleList:
    """Residual stages: the first keeps the pooled stem's size, each other halves it."""
    inputs = (widths[0], *widths[:-1])
    return nn.ModuleList(
        residual_stage(inputs[i], width, blocks[i], stride=2 if i else 1) for i, width in enumerate(widths)
    )


def scan_layers(
    widths: Sequence[int],
    size_zyx: Sequence[int],
    *,
    variants: Sequence[str],
    strides: Sequence[int],
    squeezes: Sequence[int],
    placement: str,
    compression: int,
    expansion: int,
    state: int,
    drop_path: float,
    mixer: str = "scan",
) -> nn.ModuleList:
    """The layer after each stage, for input volumes of this size.

    Args:
        variants: a row of `VARIANTS` for each stage. strides, squeezes: K and q of its global tokens, where it has any.
        placement: where these stand among the local ones. compression: S, channels that share a local token's channel.
        expansion: E, inner width over width. state: N. drop_path: chance that a sample skips a layer in training.
        mixer: what mixes the tokens, a row of `SEQUENCE_MIXERS`.

    Raises:
        ValueError: an unknown variant, or not one of each list a stage.
    """
    check_stages(len(widths), variants=variants, strides=strides, squeezes=squeezes)
    tokens = global_tokens(variants, strides=strides, squeezes=squeezes, placement=placement)
    return nn.ModuleList(
        LogBlock(
            width,
            size=tuple(size // 2 ** (i + 1) for size in size_zyx),
            variant=variants[i],
            expansion=expansion,
            state=state,
            compression=compression,
            global_tokens=tokens[i],
            drop_path=drop_path,
            norm_eps=1e-6,
            mixer=mixer,
        )
        for i, width in enumerate(widths)
    )


def decoder_stages(widths: Sequence[int], blocks: Sequence[int]) -> tuple[nn.ModuleList, nn.ModuleList]:
    """Upsampling layers and residual stages of the decoder, coarsest first."""
    below, here = widths[:0:-1], widths[-2::-1]
    ups = nn.ModuleList(Up(inputs, outputs) for inputs, outputs in zip(below, here, strict=True))
    stages = nn.ModuleList(residual_stage(width, width, n, stride=1) for width, n in zip(here, blocks, strict=True))
    return ups, stages


def check_counts(**counts: Sequence[int]) -> None:
    """Refuse a stage without a block or a channel."""
    for name, values in counts.items():
        if min(values) < 1:
            raise ValueError(f"{name} must be at least 1 in every stage, found {tuple(values)}")


def check_size(size_zyx: Sequence[int], stages: int) -> None:
    """Refuse fewer than two stages, sizes that do not halve `stages` times, and one last voxel: it has no norm."""
    if stages < 2:
        raise ValueError(f"widths must name at least two stages, found {stages}")
    factor = 2**stages
    if len(size_zyx) != 3 or any(size % factor or size <= 0 for size in size_zyx):
        raise ValueError(
            f"{stages} stages need three sizes that are positive multiples of {factor}, found {tuple(size_zyx)}"
        )
    if all(size == factor for size in size_zyx):
        raise ValueError(
            f"{stages} stages reduce {tuple(size_zyx)} to one voxel, which cannot be normalised; expected at least "
            f"{2 * factor} on one axis, or fewer stages"
        )
