"""U-Mamba-Enc with LoG layers, 3D (arXiv 2408.14415 in the host of arXiv 2401.04722, as the official code edits it).

    s    = stem(x)                          full resolution, w_0 channels; kept as the finest skip
    m_0  = scan_0(stage_0(max_pool_2(s)))   half resolution; m_i = scan_i(stage_i(m_{i-1})), stride 2 from i = 1 on
    y_n  = m_n;  y_i = blocks_i(up(y_{i+1}) + m_i)
    out  = head(block(up(y_0) + s))

    residual  LeakyReLU(norm(conv(LeakyReLU(norm(conv(x))))) + skip(x)), 3x3x3 with bias; skip is a 1x1x1 convolution,
              or nothing
    norm      instance norm, affine, eps 1e-5
    up        trilinear, factor 2, then a 1x1x1 convolution; skips are added, not concatenated
    scan_i    one LoG block (variant l, log or g) on the channel-last map, residual inside

The paper's layers, 128^3 voxels, expansion 1, 16 states (L local tokens, G global tokens, W scan width):

    i   map    width   variant   W     L         G      weights
    0   64^3   32      l         54    262,144   -      9,655
    1   32^3   64      log       108   32,768    108    87,257
    2   16^3   128     log       216   4,096     216    215,209
    3   8^3    256     g         256   512       128    357,504
    4   4^3    320     g         320   64        40     367,400

Not done: the channel tokens of the upstream bottleneck, which the official code disables, and scans in half precision.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from fusion_models.log_vmamba.block import LogBlock

LEAK = 0.01


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


class UMambaTrunk(nn.Module):
    """Stem, stages with their LoG layers, and decoder; what surrounds them decides what goes in.

    Args:
        in_channels: input channels. classes: output channels.
        size_zyx: input size in voxels, a multiple of 2^stages on each axis; the coarsest map needs two voxels or more.
        widths: channels of each stage; the stem has the first. blocks: residual blocks of each stage.
        decoder_blocks: residual blocks of each decoder stage, coarsest first.
        variants: "l", "log" or "g" for the layer after each stage (also "vss", the plain one).
        strides: K, stride of the global tokens' convolution. squeezes: q, channels that share a global token.
        compression: S, channels that share a local token's channel. expansion: E, inner width over width.
        state: N, states a channel. drop_path: chance that a sample skips a layer in training.
        placement: where the global tokens stand among the local ones.

    Raises:
        ValueError: sizes that do not fit each other; the message names those found and those expected.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        classes: int,
        size_zyx: Sequence[int],
        widths: Sequence[int] = (32, 64, 128, 256, 320),
        blocks: Sequence[int] = (2, 2, 2, 1, 1),
        decoder_blocks: Sequence[int] = (2, 2, 2, 1),
        variants: Sequence[str] = ("l", "log", "log", "g", "g"),
        strides: Sequence[int] = (1, 4, 2, 1, 1),
        squeezes: Sequence[int] = (1, 1, 1, 2, 8),
        compression: int = 16,
        expansion: int = 1,
        state: int = 16,
        drop_path: float = 0.1,
        placement: str = "interleaved",
    ) -> None:
        super().__init__()
        per_stage = {"blocks": blocks, "variants": variants, "strides": strides, "squeezes": squeezes}
        check_stages(widths, decoder_blocks, per_stage)
        check_counts({"blocks": blocks, "decoder_blocks": decoder_blocks, "widths": widths})
        check_size(size_zyx, len(widths))
        self.in_channels, self.size_zyx, self.widths = in_channels, tuple(size_zyx), tuple(widths)
        self.stem = residual_stage(in_channels, widths[0], blocks[0], stride=1)
        self.stages = encoder_stages(widths, blocks)
        self.scans = nn.ModuleList(
            LogBlock(
                width,
                size=tuple(size // 2 ** (i + 1) for size in size_zyx),
                variant=variants[i],
                expansion=expansion,
                state=state,
                compression=compression,
                stride=strides[i],
                squeeze=squeezes[i],
                placement=placement,
                drop_path=drop_path,
                norm_eps=1e-6,
            )
            for i, width in enumerate(widths)
        )
        self.ups, self.decoder = decoder_stages(widths, decoder_blocks)
        self.last_up = Up(widths[0], widths[0])
        self.last_block = ResidualBlock(widths[0], widths[0], skip=nn.Identity())
        self.head = nn.Conv3d(widths[0], classes, 1)
        self.apply(kaiming)

    def encode(self, stem: Tensor) -> list[Tensor]:
        """The stem's map (b, w_0, z, y, x) and after it the map of each stage, finest first."""
        maps = [stem]
        x = F.max_pool3d(stem, 2)
        for stage, scan in zip(self.stages, self.scans, strict=True):
            x = scan(stage(x).movedim(1, -1)).movedim(-1, 1)
            maps.append(x)
        return maps

    def decode(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps of `encode` -> logits (b, classes, z, y, x)."""
        stem, *rest, x = maps
        for up, blocks, skip in zip(self.ups, self.decoder, reversed(rest), strict=True):
            x = blocks(up(x) + skip)
        return self.head(self.last_block(self.last_up(x) + stem))

    def pooled_features(self, ct: Tensor) -> Tensor:
        """Mean of the coarsest map over its voxels: (b, w_n)."""
        self.check_input("ct", ct)
        return self.encode(self.stem(ct))[-1].mean(dim=(2, 3, 4))

    def check_input(self, name: str, image: Tensor) -> None:
        """Refuse an image of another size: the global tokens' layers are made for one."""
        if tuple(image.shape[1:]) != (self.in_channels, *self.size_zyx):
            raise ValueError(
                f"{name} must have shape (b, {self.in_channels}, {', '.join(map(str, self.size_zyx))}), "
                f"found {tuple(image.shape)}; predict larger volumes by sliding window"
            )


class UMambaEnc(UMambaTrunk):
    """The single-input network of the paper: 4 MR sequences to 3 overlapping tumour regions by default."""

    def __init__(
        self, *, in_channels: int = 4, classes: int = 3, size_zyx: Sequence[int] = (128, 128, 128), **sizes: Any
    ) -> None:
        super().__init__(in_channels=in_channels, classes=classes, size_zyx=size_zyx, **sizes)

    def forward(self, x: Tensor) -> Tensor:
        """(b, in_channels, z, y, x) -> logits (b, classes, z, y, x).

        Raises:
            ValueError: another size than the network's.
        """
        self.check_input("input", x)
        return self.decode(self.encode(self.stem(x)))


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


def decoder_stages(widths: Sequence[int], blocks: Sequence[int]) -> tuple[nn.ModuleList, nn.ModuleList]:
    """Upsampling layers and residual stages of the decoder, coarsest first."""
    below, here = widths[:0:-1], widths[-2::-1]
    ups = nn.ModuleList(Up(inputs, outputs) for inputs, outputs in zip(below, here, strict=True))
    stages = nn.ModuleList(residual_stage(width, width, n, stride=1) for width, n in zip(here, blocks, strict=True))
    return ups, stages


def kaiming(module: nn.Module) -> None:
    """Convolutions start as in the official code: Kaiming normal for this leak, bias zero."""
    if isinstance(module, nn.Conv3d) and module.weight.requires_grad:
        nn.init.kaiming_normal_(module.weight, a=LEAK)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def check_stages(
    widths: Sequence[int], decoder_blocks: Sequence[int], per_stage: Mapping[str, Sequence[object]]
) -> None:
    """Refuse lists that do not give one entry a stage (decoder: one fewer)."""
    if len(widths) < 2:
        raise ValueError(f"widths must name at least two stages, found {tuple(widths)}")
    for name, values in per_stage.items():
        if len(values) != len(widths):
            raise ValueError(f"{name} must have {len(widths)} entries, one for each of widths, found {tuple(values)}")
    if len(decoder_blocks) != len(widths) - 1:
        raise ValueError(
            f"decoder_blocks must have {len(widths) - 1} entries, one fewer than widths, found {tuple(decoder_blocks)}"
        )


def check_counts(counts: Mapping[str, Sequence[int]]) -> None:
    """Refuse a stage without a block or a channel."""
    for name, values in counts.items():
        if min(values) < 1:
            raise ValueError(f"{name} must be at least 1 in every stage, found {tuple(values)}")


def check_size(size_zyx: Sequence[int], stages: int) -> None:
    """Refuse sizes that do not halve `stages` times, or end in one voxel, which has no instance norm."""
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
