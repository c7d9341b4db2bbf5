"""DCIM, dynamic cross-modality interaction: CT read in small windows, PET as one token a window (arXiv 2510.27508).

    T = inner stem of CT     c -> c/4 -> c                 3x3, full resolution     cut into 4 x 4 windows
    O = outer stem of PET    c -> c/16 -> c/8 -> c/4 -> c  3x3, strides 1 2 2 1     (b, y/4, x/4, c), a token a window
    O <- O + SS2D(LayerNorm_c(O))                          regional: over the grid of windows
    T <- T + SS2D(LayerNorm_16c(T))                        local: each window a 4 x 4 map of its own
    T <- T + O[window]                                     the same token on the 16 pixels of its window

Every convolution has a bias and is followed by a norm and ReLU. LayerNorm_16c is one normalisation over all 16c values
of a window, pixel-major. The windows are put back in their places on rectangles too; the official code exchanges the
sides there, which changes nothing for the squares it takes.
"""

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from fusion_models.ssm.vss import SS2D, MapMixerClass
from fusion_models.vmambax.norms import NormFactory

SIDE = 4
PIXELS = SIDE * SIDE
LEAST_WIDTH = 16

OFFICIAL_NAMES: Mapping[str, str] = {
    "inner_convs.": "stem.inner.",
    "outer_convs.": "stem.outer.",
    "inner_norm1.": "block.local_norm.",
    "inner_attn.": "block.local.",
    "outer_norm1.": "block.regional_norm.",
    "outer_attn.": "block.regional.",
}
"""Prefixes of the official code's tensors -> ours: the first two below its `region_patch.I.`, which is our `stem`, the
others below its `channel_attn_mamba.I.`, our `block`; scan tensors as `fusion_models.ssm.stacked` names them."""


class DcimStem(nn.Module):
    """Convolutions that give CT's pixels and PET's tokens."""

    def __init__(self, width: int, *, norm: NormFactory) -> None:
        super().__init__()
        self.inner = _convolutions((width, width // 4, width), (1, 1), norm)
        self.outer = _convolutions((width, width // 16, width // 8, width // 4, width), (1, 2, 2, 1), norm)

    def forward(self, ct: Tensor, pet: Tensor) -> tuple[Tensor, Tensor]:
        """CT's pixels (b, y, x, c) and PET's tokens (b, y/4, x/4, c) of maps (b, c, y, x)."""
        return self.inner(ct).permute(0, 2, 3, 1), self.outer(pet).permute(0, 2, 3, 1)


class DcimBlock(nn.Module):
    """Scans within windows of CT and over the grid of PET tokens, then their sum."""

    def __init__(self, width: int, *, state: int, mixer: MapMixerClass = SS2D) -> None:
        super().__init__()
        self.local_norm = nn.LayerNorm(PIXELS * width)
        self.local = mixer(width, state=state)
        self.regional_norm = nn.LayerNorm(width)
        self.regional = mixer(width, state=state)

    def forward(self, pixels: Tensor, tokens: Tensor) -> Tensor:
        """Pixels (b, y, x, c) and tokens (b, y/4, x/4, c) -> (b, y, x, c)."""
        tokens = tokens + self.regional(self.regional_norm(tokens))
        windows = cut_windows(pixels)
        normed = self.local_norm(windows.flatten(1)).view_as(windows)
        windows = windows + self.local(normed) + tokens.flatten(0, 2)[:, None, None]
        return join_windows(windows, (tokens.shape[1], tokens.shape[2]))


class Dcim(nn.Module):
    """What CT's windows and PET's tokens of `width` channels add to the fused map; not symmetric in CT and PET.

    Raises:
        ValueError: `width` is so small that the outer stem would have no channel.
    """

    window: ClassVar[int] = SIDE

    def __init__(self, width: int, *, state: int, norm: NormFactory, mixer: MapMixerClass = SS2D) -> None:
        super().__init__()
        if width < LEAST_WIDTH:
            raise ValueError(f"DCIM needs a width of at least {LEAST_WIDTH} (its outer stem has c/16), found {width}")
        self.stem = DcimStem(width, norm=norm)
        self.block = DcimBlock(width, state=state, mixer=mixer)

    def forward(self, ct: Tensor, pet: Tensor) -> Tensor:
        """Maps (b, c, y, x) -> (b, c, y, x).

        Raises:
            ValueError: a side is not a multiple of 4.
        """
        if any(size % SIDE for size in ct.shape[2:]):
            raise ValueError(
                f"DCIM cuts maps into {SIDE} x {SIDE} windows, found a map of {tuple(ct.shape[2:])} (y, x)"
            )
        return self.block(*self.stem(ct, pet)).permute(0, 3, 1, 2)


def cut_windows(pixels: Tensor) -> Tensor:
    """(b, y, x, c) -> (b*n, 4, 4, c), windows row by row, n = (y/4)(x/4)."""
    grid = pixels.unflatten(2, (-1, SIDE)).unflatten(1, (-1, SIDE))
    return grid.transpose(2, 3).flatten(0, 2)


def join_windows(windows: Tensor, grid_yx: tuple[int, int]) -> Tensor:
    """The inverse of `cut_windows`: (b*n, 4, 4, c) -> (b, y, x, c) for a grid of (y/4, x/4) windows."""
    grid = windows.unflatten(0, (-1, *grid_yx))
    return grid.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def _convolutions(widths: tuple[int, ...], strides: tuple[int, ...], norm: NormFactory) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after, stride in zip(widths[:-1], widths[1:], strides, strict=True):
        layers += [nn.Conv2d(before, after, 3, stride=stride, padding=1), norm(after), nn.ReLU()]
    return nn.Sequential(*layers)
