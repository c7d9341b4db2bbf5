"""The 2D host of LoG-VMamba: Swin-UMamba with a Mamba decoder (arXiv 2402.03302; its blocks from arXiv 2408.14415).

    t_0 .. t_3   (b, y/p, x/p, c) .. (b, y/8p, x/8p, 8c)     taps of a four-direction VSS encoder; c = 96, patch p = 4
    d_3 = t_3;   d_i = blocks_i(merge_i [expand_i(d_{i+1}) ; t_i])       i = 2, 1, 0, two LoG blocks each
    logits       head_i(d_i) at 1/4p, 1/2p, 1/p of the input; head(final(d_0)) at its size

expand: linear w -> 2w without bias, pixel shuffle to half the width, LayerNorm; merge: linear 2w -> w; final: linear
c -> p p c without bias, pixel shuffle, LayerNorm; heads: 1x1 convolutions. Maps are channel last, images channel first.
DropPath rises from 0 along the encoder's blocks and falls back to 0 along the decoder's. Convolutions start Kaiming
normal with slope 0.01 and zero bias, as in the official code; pretrained VMamba-T weights then replace the encoder's.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fusion_models.log_vmamba.block import VARIANTS, LogBlock, check_variant
from fusion_models.log_vmamba.hosts import check_stages, global_tokens, kaiming
from fusion_models.ssm.drop_path import linear_rates
from fusion_models.ssm.patch_expand import FinalExpand, PatchExpand
from fusion_models.ssm.vss import VSSBlock
from fusion_models.ssm.vss_encoder import VSSEncoder

HOST = "host"
Size = tuple[int, int]


MakeBlock = Callable[[int, float], nn.Module]
"""(decoder stage, drop rate) -> block."""


class DecoderStage(nn.Module):
    """expand, merge with the skip, LoG blocks: (b, y, x, 2w), (b, 2y, 2x, w) -> (b, 2y, 2x, w)."""

    def __init__(self, width: int, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.expand = PatchExpand(2 * width)
        self.merge = nn.Linear(2 * width, width)
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """The coarser map x and the encoder's tap `skip`; what was decoded stands first in the concatenation."""
        return self.blocks(self.merge(torch.cat([self.expand(x), skip], dim=-1)))


class LogDecoder(nn.Module):
    """Taps of an encoder -> logits; `stages` and `heads` are in order of computation, coarse to fine.

    Args:
        widths: channels of the decoder's maps, coarse to fine, each half of the one before.
        classes: output channels. patch: factor of the last upsampling. depth: blocks a stage. drop_path: first rate.
        block: makes them.
    """

    def __init__(
        self, *, widths: Sequence[int], classes: int, patch: int, depth: int, drop_path: float, block: MakeBlock
    ) -> None:
        super().__init__()
        rates = iter(linear_rates(drop_path, 0.0, depth * len(widths)))
        self.stages = nn.ModuleList()
        for stage, width in enumerate(widths):
            self.stages.append(DecoderStage(width, [block(stage, next(rates)) for _ in range(depth)]))
        self.final = FinalExpand(widths[-1], patch)
        self.heads = nn.ModuleList(nn.Conv2d(width, classes, 1) for width in (*widths, widths[-1]))

    def maps(self, taps: Sequence[Tensor]) -> list[Tensor]:
        """What each head reads, coarse to fine: taps (b, y, x, c), finest first -> maps (b, y, x, c)."""
        *skips, x = taps
        found = []
        for stage, skip in zip(self.stages, reversed(skips), strict=True):
            x = stage(x, skip)
            found.append(x)
        return [*found, self.final(x)]

    def forward(self, taps: Sequence[Tensor]) -> Tensor:
        """Logits at the input's size: (b, classes, y, x)."""
        return self.heads[-1](channel_first(self.maps(taps)[-1]))

    def scales(self, taps: Sequence[Tensor]) -> list[Tensor]:
        """Logits of every head, finest first."""
        pairs = zip(self.heads, self.maps(taps), strict=True)
        return [head(channel_first(x)) for head, x in pairs][::-1]


class SwinUMamba(nn.Module):
    """The network of one modality: `encoder` (images -> taps) and `decoder` (taps -> logits).

    Args:
        size_yx: input size, multiples of patch * 2^(stages - 1): the global tokens belong to one size.
        in_channels, classes: channels of images and logits.
        width: channels of the first stage, doubled at each further one. depths: encoder blocks a stage.
        state: N. patch: edge of a stem patch in pixels. decoder_depth: decoder blocks a stage. drop_path: largest rate.
        block_options: what else `decoder_blocks` takes.

    Raises:
        ValueError: sizes that do not fit each other; the message names what was found and what fits.
    """

    def __init__(
        self,
        *,
        size_yx: Sequence[int],
        in_channels: int = 3,
        classes: int = 1,
        width: int,
        depths: Sequence[int],
        state: int,
        patch: int,
        decoder_depth: int,
        drop_path: float,
        **block_options: Any,
    ) -> None:
        super().__init__()
        sizes = map_sizes(size_yx, patch=patch, stages=len(depths))
        rates = linear_rates(0.0, drop_path, sum(depths))
        self.shape = (in_channels, *size_yx)
        self.encoder = VSSEncoder(in_channels, width=width, depths=depths, state=state, patch=patch, drop_paths=rates)
        widths = self.encoder.widths[-2::-1]
        block = decoder_blocks(widths=widths, sizes_yx=sizes[-2::-1], state=state, **block_options)
        self.decoder = LogDecoder(
            widths=widths, classes=classes, patch=patch, depth=decoder_depth, drop_path=drop_path, block=block
        )
        self.apply(kaiming)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (b, classes, y, x) of images (b, in_channels, y, x)."""
        return self.decoder(self.encoder(x))

    def scales(self, x: Tensor) -> list[Tensor]:
        """Logits (b, classes, y / f, x / f) for deep supervision, f = 1, p, 2p, 4p; input as in `forward`."""
        return self.decoder.scales(self.encoder(x))


def decoder_blocks(
    *,
    widths: Sequence[int],
    sizes_yx: Sequence[Size],
    variant: str,
    state: int,
    compression: int,
    expansion: int,
    strides: Sequence[int],
    squeezes: Sequence[int],
    placement: str,
) -> MakeBlock:
    """The blocks of a decoder whose maps have these widths and sizes, coarse to fine.

    Args:
        variant: a row of `VARIANTS`, or "host" for Swin-UMamba without LoG: the encoder's own four-direction blocks.
        state: N. compression, expansion: S and E. strides, squeezes: K and q of the global tokens, one a stage.
        placement: where these stand among the local ones, "interleaved" in the paper's best network.

    Raises:
        ValueError: an unknown variant, or not one stride and squeeze a stage.
    """
    check_variant(variant, (HOST, *VARIANTS))
    check_stages(len(widths), strides=strides, squeezes=squeezes)
    if variant == HOST:
        return lambda stage, drop_path: VSSBlock(widths[stage], state=state, drop_path=drop_path)
    tokens = global_tokens([variant] * len(widths), strides=strides, squeezes=squeezes, placement=placement)
    return lambda stage, drop_path: LogBlock(
        widths[stage],
        size=sizes_yx[stage],
        variant=variant,
        expansion=expansion,
        state=state,
        compression=compression,
        global_tokens=tokens[stage],
        drop_path=drop_path,
    )


def channel_first(x: Tensor) -> Tensor:
    """(b, y, x, c) -> (b, c, y, x)."""
    return x.permute(0, 3, 1, 2)


def map_sizes(size_yx: Sequence[int], *, patch: int, stages: int) -> list[Size]:
    """Sizes of the encoder's maps, finest first.

    Raises:
        ValueError: fewer than two stages, or an input size that some map does not divide.
    """
    if stages < 2:
        raise ValueError(f"depths must name at least two encoder stages, found {stages}")
    multiple = patch * 2 ** (stages - 1)
    if len(size_yx) != 2 or any(size <= 0 or size % multiple for size in size_yx):
        raise ValueError(
            f"size_yx must be two positive multiples of {multiple} (patch {patch} halved {stages - 1} times), "
            f"found {tuple(size_yx)}"
        )
    y, x = size_yx
    return [(y // patch // 2**i, x // patch // 2**i) for i in range(stages)]
