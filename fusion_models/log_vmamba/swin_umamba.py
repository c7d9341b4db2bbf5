"""The 2D host of LoG-VMamba: Swin-UMamba with a Mamba decoder (arXiv 2402.03302; its blocks from arXiv 2408.14415).

    t_0 .. t_3   (b, y/p, x/p, c) .. (b, y/8p, x/8p, 8c)     taps of a four-direction VSS encoder; c = 96, patch p = 4
    d_3 = t_3;   d_i = blocks_i(merge_i [expand_i(d_{i+1}) ; t_i])       i = 2, 1, 0, two LoG blocks each
    logits       head_i(d_i) at 1/4p, 1/2p, 1/p of the input; head(final(d_0)) at its size

expand: linear w -> 2w without bias, pixel shuffle to half the width, LayerNorm; merge: linear 2w -> w; final: linear
c -> p p c without bias, pixel shuffle, LayerNorm; heads: 1x1 convolutions. Maps are channel last, images channel first.
DropPath rises from 0 along the encoder's blocks and falls back to 0 along the decoder's. Convolutions start Kaiming
normal with slope 0.01 and zero bias, as in the official code; pretrained VMamba-T weights then replace the encoder's.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from fusion_models.log_vmamba.block import VARIANTS, LogBlock
from fusion_models.ssm.patch_expand import FinalExpand, PatchExpand
from fusion_models.ssm.vss import VSSBlock
from fusion_models.ssm.vss_encoder import VSSEncoder

SLOPE = 0.01
Size = tuple[int, int]


def host_block(width: int, *, state: int, drop_path: float, **_of_tokens: object) -> VSSBlock:
    """The block of Swin-UMamba without LoG: the encoder's own, four directions, no global tokens."""
    return VSSBlock(width, state=state, drop_path=drop_path)


BLOCKS: Mapping[str, Callable[..., nn.Module]] = {"host": host_block, **dict.fromkeys(VARIANTS, LogBlock)}


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
        sizes_yx: their sizes. classes: output channels. patch: factor of the last upsampling.
        depth: blocks a stage. strides, squeezes: K and q of the global tokens, one a stage. drop_path: first rate.
        variant: a row of `BLOCKS`. block_options: the other options of `LogBlock`.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int],
        sizes_yx: Sequence[Size],
        classes: int,
        patch: int,
        depth: int,
        strides: Sequence[int],
        squeezes: Sequence[int],
        drop_path: float,
        variant: str,
        **block_options: object,
    ) -> None:
        super().__init__()
        rates = iter(linear_rates(drop_path, 0.0, depth * len(widths)))
        self.stages = nn.ModuleList()
        for width, size, stride, squeeze in zip(widths, sizes_yx, strides, squeezes, strict=True):
            options = {"size": size, "stride": stride, "squeeze": squeeze, "variant": variant, **block_options}
            blocks = [BLOCKS[variant](width, drop_path=next(rates), **options) for _ in range(depth)]
            self.stages.append(DecoderStage(width, blocks))
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
        state: N. patch: edge of a stem patch in pixels. variant: a row of `BLOCKS`; "host" is the network without LoG.
        placement: where global tokens stand among the local ones, "interleaved" in the paper's best network.
        compression, expansion: S and E of the decoder's blocks. strides, squeezes: K and q, coarse to fine.
        decoder_depth: decoder blocks a stage. drop_path: largest rate.

    Raises:
        ValueError: sizes that do not fit each other; the message names what was found and what fits.
    """

    def __init__(
        self,
        *,
        size_yx: Sequence[int],
        in_channels: int = 3,
        classes: int = 1,
        width: int = 96,
        depths: Sequence[int] = (2, 2, 9, 2),
        state: int = 16,
        patch: int = 4,
        variant: str = "log",
        placement: str = "interleaved",
        compression: int = 8,
        expansion: int = 2,
        strides: Sequence[int] = (2, 2, 4),
        squeezes: Sequence[int] = (2, 1, 1),
        decoder_depth: int = 2,
        drop_path: float = 0.2,
    ) -> None:
        super().__init__()
        check_variant(variant)
        check_stages(depths, strides=strides, squeezes=squeezes)
        sizes = map_sizes(size_yx, patch=patch, stages=len(depths))
        self.shape = (in_channels, size_yx[0], size_yx[1])
        self.encoder = VSSEncoder(
            in_channels,
            width=width,
            depths=tuple(depths),
            state=state,
            patch=patch,
            drop_paths=linear_rates(0.0, drop_path, sum(depths)),
        )
        self.decoder = LogDecoder(
            widths=self.encoder.widths[-2::-1],
            sizes_yx=sizes[-2::-1],
            classes=classes,
            patch=patch,
            depth=decoder_depth,
            strides=strides,
            squeezes=squeezes,
            drop_path=drop_path,
            variant=variant,
            expansion=expansion,
            state=state,
            compression=compression,
            placement=placement,
        )
        self.apply(start_convolution)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (b, classes, y, x) of images (b, in_channels, y, x).

        Raises:
            ValueError: images of another shape than the network's.
        """
        return self.decoder(self.taps(x))

    def scales(self, x: Tensor) -> list[Tensor]:
        """Logits (b, classes, y / f, x / f) for deep supervision, f = 1, p, 2p, 4p; input as in `forward`."""
        return self.decoder.scales(self.taps(x))

    def taps(self, x: Tensor) -> list[Tensor]:
        """The encoder's maps (b, y, x, c), finest first; input as in `forward`."""
        check_images("images", x, self.shape)
        return self.encoder(x)


def channel_first(x: Tensor) -> Tensor:
    """(b, y, x, c) -> (b, c, y, x)."""
    return x.permute(0, 3, 1, 2)


def linear_rates(first: float, last: float, count: int) -> list[float]:
    """`count` evenly spaced rates from `first` to `last`, both included."""
    return [first + (last - first) * i / max(count - 1, 1) for i in range(count)]


def start_convolution(module: nn.Module) -> None:
    """Kaiming normal with slope 0.01 and zero bias for a convolution that learns; anything else stays."""
    if isinstance(module, nn.Conv2d) and module.weight.requires_grad:
        nn.init.kaiming_normal_(module.weight, a=SLOPE)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def map_sizes(size_yx: Sequence[int], *, patch: int, stages: int) -> list[Size]:
    """Sizes of the encoder's maps, finest first.

    Raises:
        ValueError: an input size that some map does not divide.
    """
    multiple = patch * 2 ** (stages - 1)
    if len(size_yx) != 2 or any(size <= 0 or size % multiple for size in size_yx):
        raise ValueError(
            f"size_yx must be two positive multiples of {multiple} (patch {patch} halved {stages - 1} times), "
            f"found {tuple(size_yx)}"
        )
    y, x = size_yx
    return [(y // patch // 2**i, x // patch // 2**i) for i in range(stages)]


def check_variant(variant: str) -> None:
    """Refuse a decoder that does not exist."""
    if variant not in BLOCKS:
        raise ValueError(f"variant must be one of {', '.join(BLOCKS)}, found '{variant}'")


def check_stages(depths: Sequence[int], **per_stage: Sequence[int]) -> None:
    """Refuse lists of decoder options that do not name each decoder stage: one fewer than the encoder has."""
    if len(depths) < 2:
        raise ValueError(f"depths must name at least 2 encoder stages, found {tuple(depths)}")
    for name, values in per_stage.items():
        if len(values) != len(depths) - 1:
            raise ValueError(
                f"{name} must name {len(depths) - 1} decoder stages, one fewer than depths {tuple(depths)}, "
                f"found {tuple(values)}"
            )


def check_images(name: str, images: Tensor, shape: tuple[int, int, int]) -> None:
    """Refuse images (b, c, y, x) of another shape (c, y, x) than the network's."""
    if images.ndim != 4 or tuple(images.shape[1:]) != shape:
        raise ValueError(
            f"{name} must have shape (b, {', '.join(map(str, shape))}), found {tuple(images.shape)}; the global "
            "tokens belong to this one size: predict other sizes in windows of it, or build the network for them"
        )
