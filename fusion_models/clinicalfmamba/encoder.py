"""The convolutional encoder of ClinicalFMamba, one set of weights for both modalities (arXiv 2508.03008, code).

    e = Conv3(x)                                               1 -> w, full resolution, kept for CMCA
    f = 3 x [ Conv2 of stride 2 -> DGCB ]                      w -> w, 2w, 4w with dilations 1, 3, 5

With two halvings instead of three the first of the strided convolutions is left out, as for the paper's slices of 128.
"""

from itertools import pairwise

from torch import Tensor, nn

from fusion_models.clinicalfmamba.dgcb import BLOCKS, CONVOLUTIONS
from fusion_models.vmambax.norms import NormFactory

DILATIONS = (1, 3, 5)
HALVINGS = (2, 3)


class FusionEncoder(nn.Module):
    """Features of an image.

    Args:
        width: w. axes: 2 or 3. halvings: 2 or 3, how often each side is halved.

    Raises:
        ValueError: another number of halvings.
    """

    def __init__(self, width: int, *, axes: int, halvings: int, norm: NormFactory) -> None:
        super().__init__()
        if halvings not in HALVINGS:
            raise ValueError(f"halvings must be one of {HALVINGS}, found {halvings}")
        self.conv_in = CONVOLUTIONS[axes](1, width, 3, padding=1)
        widths = (width, width, 2 * width, 4 * width)
        self.down = nn.ModuleList(
            [
                CONVOLUTIONS[axes](before, after, 2, stride=2)
                if stage >= len(HALVINGS) + 1 - halvings
                else nn.Identity()
                for stage, (before, after) in enumerate(pairwise(widths))
            ]
        )
        self.blocks = nn.ModuleList(
            [
                BLOCKS[axes](channels, dilation=dilation, axes=axes, norm=norm)
                for channels, dilation in zip(widths[1:], DILATIONS, strict=True)
            ]
        )

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Of images (b, 1, *size): e (b, w, *size), and f channel last, (b, *size / 2^halvings, 4w)."""
        detail = self.conv_in(image)
        x = detail
        for down, block in zip(self.down, self.blocks, strict=True):
            x = block(down(x))
        return detail, x.movedim(1, -1).contiguous()
