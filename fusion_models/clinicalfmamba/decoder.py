"""The decoder of ClinicalFMamba: tokens on their grid, each side doubled until it has the image's (arXiv 2508.03008).

    2D  blocks x (LayerNorm + plain Mamba + skip), LayerNorm;  [nearest x2, Conv3 4w -> 2w, N, ReLU],
        [nearest x2, Conv3 2w -> w, ReLU, N],  [nearest x2, Conv3 w -> w, N]
    3D  [nearest x2, Conv3 4w -> 2w, N, LReLU],  [nearest x2, Conv3 2w -> w, N, LReLU],  [nearest x2, Conv3 w -> w, N]

as the code has them; the paper says convolution and leaky ReLU three times. Two halvings do without the third stage.
"""

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from fusion_models.clinicalfmamba.dgcb import CONVOLUTIONS, SLOPE
from fusion_models.ssm.mamba import Mamba, MambaBlock
from fusion_models.ssm.scan_orders import ROWS
from fusion_models.vmambax.norms import NormFactory


class MapDecoder(nn.Module):
    """2D: maps (b, y, x, 4w) -> (b, w, y 2^halvings, x 2^halvings).

    Args:
        width: w. halvings: 2 or 3, how often the encoder halved. blocks: plain Mambas. state: states a channel.
    """

    def __init__(self, width: int, *, halvings: int, blocks: int, state: int, norm: NormFactory) -> None:
        super().__init__()
        self.mambas = nn.Sequential(
            *[MambaBlock(Mamba(4 * width, orders=(ROWS,), state=state, inner_norm=nn.Identity)) for _ in range(blocks)]
        )
        self.norm = nn.LayerNorm(4 * width)
        stages = [
            _doubling(2, 4 * width, 2 * width, norm(2 * width), nn.ReLU()),
            _doubling(2, 2 * width, width, nn.ReLU(), norm(width)),
            _doubling(2, width, width, norm(width)),
        ]
        self.stages = nn.Sequential(*stages[:halvings])

    def forward(self, tokens: Tensor) -> Tensor:
        """(b, y, x, 4w) -> (b, w, *the image's size)."""
        return self.stages(self.norm(self.mambas(tokens)).movedim(-1, 1).contiguous())


class VolumeDecoder(nn.Module):
    """3D: volumes (b, z, y, x, 4w) -> (b, w, *the image's size); it has no Mamba, so `blocks` must be 0.

    Raises:
        ValueError: there are blocks.
    """

    def __init__(self, width: int, *, halvings: int, blocks: int, state: int, norm: NormFactory) -> None:  # noqa: ARG002  (as the 2D one)
        super().__init__()
        if blocks:
            raise ValueError(f"the 3D decoder has no Mamba blocks, found decoder_blocks = {blocks}; leave it at 0")
        stages = [
            _doubling(3, 4 * width, 2 * width, norm(2 * width), nn.LeakyReLU(SLOPE)),
            _doubling(3, 2 * width, width, norm(width), nn.LeakyReLU(SLOPE)),
            _doubling(3, width, width, norm(width)),
        ]
        self.stages = nn.Sequential(*stages[:halvings])

    def forward(self, tokens: Tensor) -> Tensor:
        """(b, z, y, x, 4w) -> (b, w, *the image's size)."""
        return self.stages(tokens.movedim(-1, 1).contiguous())


DECODERS: Mapping[int, Callable[..., MapDecoder | VolumeDecoder]] = {2: MapDecoder, 3: VolumeDecoder}
"""Axes -> decoder."""


def _doubling(axes: int, before: int, after: int, *then: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Upsample(scale_factor=2), CONVOLUTIONS[axes](before, after, 3, padding=1), *then)
