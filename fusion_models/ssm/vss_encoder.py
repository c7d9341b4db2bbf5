"""VMamba's hierarchical encoder, first version (arXiv 2401.10166, figure 3 and its code): four stages of VSS blocks.

    x_0     = LayerNorm(conv patch x patch, stride patch)    (b, in, y, x) -> (b, y/p, x/p, c)
    tap_i   = blocks_i(x_i)                                  the map of stage i, not normalised
    x_{i+1} = PatchMerging(tap_i)                            half the size, twice the channels, but for the last stage

Maps are channel last behind the patch embedding. Nothing here uses batch statistics: cases may be stacked on the
batch axis. Tiny is width 96, depths (2, 2, 9, 2), 16 states: 22,122,912 parameters with 3 input channels.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusion_models.ssm.vss import SS2D, MapMixerClass, VSSBlock

# (row, column) of a pixel in its 2 x 2 square, in the order of the merged channels
PHASES = ((0, 0), (1, 0), (0, 1), (1, 1))
PROJECTION_SPREAD = 0.02


class PatchEmbed(nn.Module):
    """A map cut into patches, each one token: (b, in, y, x) -> (b, y/patch, x/patch, width)."""

    def __init__(self, in_channels: int, width: int, *, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.proj = nn.Conv2d(in_channels, width, patch, stride=patch)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(b, in, y, x) -> (b, y/patch, x/patch, width).

        Raises:
            ValueError: a side is not a multiple of the patch.
        """
        if x.shape[-2] % self.patch or x.shape[-1] % self.patch:
            raise ValueError(f"both sides must be multiples of patch {self.patch}, found {tuple(x.shape[-2:])}")
        return self.norm(self.proj(x).permute(0, 2, 3, 1))


class PatchMerging(nn.Module):
    """Each 2 x 2 square one token of twice the width: (b, y, x, c) -> (b, ceil(y/2), ceil(x/2), 2c).

    The squares' four pixels lie on the channel axis in the order of `PHASES`; an odd side is zero-padded at its end.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(len(PHASES) * width)
        self.reduction = nn.Linear(len(PHASES) * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(b, y, x, c) -> (b, ceil(y/2), ceil(x/2), 2c)."""
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        merged = torch.cat([x[:, row::2, column::2] for row, column in PHASES], dim=-1)
        return self.reduction(self.norm(merged))


class VSSStage(nn.Module):
    """VSS blocks of one width, one drop-path rate a block, and the step to the next stage."""

    def __init__(
        self, width: int, *, state: int, drop_paths: Sequence[float], downsample: nn.Module, mixer: MapMixerClass = SS2D
    ) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(VSSBlock(width, state=state, drop_path=rate, mixer=mixer) for rate in drop_paths))
        self.downsample = downsample

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (b, y, x, c) -> the tap (b, y, x, c) and the next stage's input."""
        tap = self.blocks(x)
        return tap, self.downsample(tap)


class VSSEncoder(nn.Module):
    """Stages of VSS blocks, width doubled and size halved from one to the next.

    Args:
        width: channels of the first stage. depths: blocks a stage. state: states a channel.
        patch: edge of the patch embedding.
        drop_paths: one rate a block, in order; None is 0 everywhere. mixer: what mixes the pixels in each block.

    Raises:
        ValueError: no stage, or another number of rates than of blocks.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        width: int,
        depths: Sequence[int],
        state: int,
        patch: int = 4,
        drop_paths: Sequence[float] | None = None,
        mixer: MapMixerClass = SS2D,
    ) -> None:
        super().__init__()
        rates = [0.0] * sum(depths) if drop_paths is None else list(drop_paths)
        if not depths or len(rates) != sum(depths):
            raise ValueError(f"depths {tuple(depths)} need {sum(depths)} drop-path rates, found {len(rates)}")
        self.widths = tuple(width << index for index in range(len(depths)))
        self.patch_embed = PatchEmbed(in_channels, width, patch=patch)
        self.stages = nn.ModuleList(_stages(self.widths, depths, state=state, rates=rates, mixer=mixer))
        self.apply(_init_projections)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Maps (b, in, y, x) -> the tap of each stage, finest first: (b, y/p/2^i, x/p/2^i, c 2^i), not normalised."""
        return self.taps(self.patch_embed(x))

    def taps(self, x: Tensor) -> list[Tensor]:
        """The same from tokens (b, y/p, x/p, c), for an input with a patch embedding of its own."""
        found: list[Tensor] = []
        for stage in self.stages:
            tap, x = stage(x)
            found.append(tap)
        return found


def _stages(
    widths: Sequence[int], depths: Sequence[int], *, state: int, rates: Sequence[float], mixer: MapMixerClass
) -> list[VSSStage]:
    starts = [sum(depths[:index]) for index in range(len(depths) + 1)]
    steps = [*(PatchMerging(width) for width in widths[:-1]), nn.Identity()]
    return [
        VSSStage(width, state=state, drop_paths=rates[first:last], downsample=step, mixer=mixer)
        for width, step, (first, last) in zip(widths, steps, pairwise(starts), strict=True)
    ]


def _init_projections(module: nn.Module) -> None:
    """VMamba's own start for the projections of its encoder; the scan's parameters keep theirs."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear) and name in {"in_proj", "out_proj", "reduction"}:
            nn.init.trunc_normal_(child.weight, std=PROJECTION_SPREAD)
