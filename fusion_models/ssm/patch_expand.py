"""Upsampling by a linear layer and a pixel shuffle (Swin-Unet, arXiv 2105.05537, section 3.5); channel last.

    y   = expand(x)                    (b, y, x, c) -> (b, y, x, f f e), no bias; e = c/2 with f = 2, e = c at the end
    out = LayerNorm_e(shuffle_f(y))    (b, f y, f x, e)

The f f e outputs of a pixel are read as (p1, p2, channel), p1 slowest: channel k of row f y + p1, column f x + p2.
"""

from torch import Tensor, nn


class PatchExpand(nn.Module):
    """Twice the size, half the channels: (b, y, x, c) -> (b, 2y, 2x, c/2).

    Raises:
        ValueError: the width is odd.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        if width % 2:
            raise ValueError(f"PatchExpand halves its width, which must be even; found {width}")
        self.expand = nn.Linear(width, 2 * width, bias=False)
        self.norm = nn.LayerNorm(width // 2)

    def forward(self, x: Tensor) -> Tensor:
        """(b, y, x, c) -> (b, 2y, 2x, c/2)."""
        return self.norm(pixel_shuffle(self.expand(x), 2))


class FinalExpand(nn.Module):
    """`factor` times the size at the same width: (b, y, x, c) -> (b, factor y, factor x, c)."""

    def __init__(self, width: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.expand = nn.Linear(width, factor**2 * width, bias=False)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(b, y, x, c) -> (b, factor y, factor x, c)."""
        return self.norm(pixel_shuffle(self.expand(x), self.factor))


def pixel_shuffle(x: Tensor, factor: int) -> Tensor:
    """Channels (p1, p2, e) of each pixel laid out in space: (b, y, x, factor^2 e) -> (b, factor y, factor x, e)."""
    b, y, x_, _ = x.shape
    x = x.reshape(b, y, x_, factor, factor, -1).transpose(2, 3)
    return x.reshape(b, factor * y, factor * x_, -1)
