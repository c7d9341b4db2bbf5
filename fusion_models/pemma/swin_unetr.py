"""Swin UNETR of one image, in parts, so that what reaches the first stage may come from more than one embedding.

Symbols, with shapes (b batch, f features, g grid of 2-voxel patches, S stages, 4 in the published network):

    e     (b, f, g)                 patch embedding of an image, a convolution of kernel and stride 2
    x_0   (b, f, g)                 what the stages read; e itself in the plain network
    x_k   (b, f 2^k, g / 2^k)       output of stage k; decoder and pooling read it normalised over channels
    z     (b, f, z, y, x)           full-resolution skip of the image

Blocks and parameter names are those of `monai.networks.nets.SwinUNETR` (arXiv 2201.01266), so that its checkpoints
load as they are and its output is this one's bit for bit. Numbers of stages other than four are ours: a small network
reads crops that a fourth halving would not divide. MONAI's constructor reads drop rates back with `.item()`, which a
build without memory cannot do; without DropPath nobody needs them.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch.nn.functional as F
from monai.networks.blocks.dynunet_block import UnetOutBlock
from monai.networks.blocks.patchembedding import PatchEmbed
from monai.networks.blocks.unetr_block import UnetrUpBlock
from monai.networks.nets.swin_unetr import BasicLayer, PatchMerging
from torch import Tensor, nn

from fusion_models.options import Sizes
from fusion_models.pemma.unetr import skip_block

SWIN_PAPER: Sizes = {
    "features": 48,
    "depths": (2, 2, 2, 2),
    "heads": (3, 6, 12, 24),
    "window": 7,
    "recompute": "none",
}
SWIN_SMALL: Sizes = {**SWIN_PAPER, "features": 12, "depths": (2, 2, 2), "heads": (3, 6, 12), "window": 6}
SWIN_TINY: Sizes = {**SWIN_PAPER, "features": 12, "depths": (2, 2), "heads": (3, 6), "window": 4}

PATCH = 2
RECOMPUTED: Mapping[str, bool] = {"none": False, "blocks": True}
"""Choice -> whether backward runs the blocks again in place of keeping their activations."""


class SwinFeatures(NamedTuple):
    """What the decoder reads: x_0 .. x_S, finest first, each normalised over its channels, and the skip z."""

    maps: list[Tensor]
    skip: Tensor


class SwinStages(nn.Module):
    """Patch embedding and Swin stages, MONAI's `swinViT`.

    Args:
        channels: of the image. features: f. depths, heads: blocks and attention heads of each stage.
        window: edge of the attention windows; a map no larger is one window, and none is shifted.
        recompute: name in `RECOMPUTED`.
    """

    def __init__(
        self, channels: int, *, features: int, depths: Sequence[int], heads: Sequence[int], window: int, recompute: str
    ) -> None:
        super().__init__()
        self.patch_embed = patch_embedding(channels, features)
        for stage, (depth, count) in enumerate(zip(depths, heads, strict=True)):
            layer = BasicLayer(
                dim=features * 2**stage,
                depth=depth,
                num_heads=count,
                window_size=(window,) * 3,
                drop_path=[0.0] * depth,
                qkv_bias=True,
                downsample=PatchMerging,
                use_checkpoint=RECOMPUTED[recompute],
            )
            self.add_module(f"layers{stage + 1}", nn.ModuleList([layer]))
        self.stages = len(depths)

    def forward(self, embedded: Tensor) -> list[Tensor]:
        """x_0 .. x_S, finest first, each normalised over its channels, of x_0 (b, f, g)."""
        maps = [embedded]
        for stage in range(1, self.stages + 1):
            maps.append(self.get_submodule(f"layers{stage}.0")(maps[-1].contiguous()))
        return [_normalise(each) for each in maps]


def patch_embedding(channels: int, features: int) -> PatchEmbed:
    """e (b, f, g) of an image (b, channels, z, y, x)."""
    return PatchEmbed(PATCH, channels, features, norm_layer=None, spatial_dims=3)


def add_convolution_stack(net: nn.Module, *, features: int, stages: int, classes: int) -> None:
    """Add encoder2.., encoder10, decoder.. and out with MONAI's names; encoder2 reads x_0, encoder10 x_S."""
    widths = [features * 2**stage for stage in range(stages + 1)]
    for k, width in enumerate(widths[:-2]):
        net.add_module(f"encoder{k + 2}", skip_block(width, width))
    net.add_module("encoder10", skip_block(widths[-1], widths[-1]))
    for k, (outputs, inputs) in enumerate(pairwise([features, *widths])):
        net.add_module(f"decoder{k + 1}", UnetrUpBlock(3, inputs, outputs, 3, 2, "instance", res_block=True))
    net.add_module("out", UnetOutBlock(3, features, classes))


def decode(net: nn.Module, features: SwinFeatures) -> Tensor:
    """Logits (b, classes, z, y, x)."""
    maps, skip = features
    stages = len(maps) - 1
    x = net.get_submodule(f"decoder{stages + 1}")(net.get_submodule("encoder10")(maps[-1]), maps[-2])
    for k in range(stages, 1, -1):
        x = net.get_submodule(f"decoder{k}")(x, net.get_submodule(f"encoder{k}")(maps[k - 2]))
    return net.get_submodule("out")(net.get_submodule("decoder1")(x, skip))


def check_sizes(
    crop_zyx: Sequence[int], *, features: int, depths: Sequence[int], heads: Sequence[int], recompute: str
) -> None:
    """Refuse sizes that cannot be built, naming what was found and what fits."""
    if len(depths) < 2 or len(depths) != len(heads):
        raise ValueError(f"depths and heads must name the same two stages or more, found {depths} and {heads}")
    odd = [features * 2**stage % count for stage, count in enumerate(heads)]
    if any(odd):
        raise ValueError(f"each stage's width {features} x 2^stage must be a multiple of its heads, found {heads}")
    multiple = PATCH * 2 ** len(depths)
    if len(crop_zyx) != 3 or any(size % multiple or size < 2 * multiple for size in crop_zyx):
        raise ValueError(
            f"crop_zyx must be three multiples of {multiple} (patch {PATCH} x 2^stages), each of two or more, so that "
            f"the last map has voxels to normalise over; found {tuple(crop_zyx)}"
        )
    if recompute not in RECOMPUTED:
        raise ValueError(f"unknown recompute '{recompute}'; known: {sorted(RECOMPUTED)}")


def _normalise(x: Tensor) -> Tensor:
    """Layer normalisation over channels, without weights: (b, c, z, y, x) as it came."""
    return F.layer_norm(x.movedim(1, -1), [x.shape[1]]).movedim(-1, 1)
