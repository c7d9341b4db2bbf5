"""Gates and gains: the few numbers that decide how far PET reaches into a network that was trained on CT.

    gate   (1 - g_c) closed + g_c open     g_c = 0 gives `closed` bit for bit, 1 gives `open`
    gain   s_c x                           s_c = 0 gives zero

c counts heads or channels. Both are plain numbers: at 0 the gradient on g is that on (open - closed), of which a
sigmoid at -6 would pass a four-hundredth and hardly open. A case with CT and PET alone reaches them (group `fusion`).
"""

import torch
from torch import Tensor, nn


class Gate(nn.Module):
    """A gate of each of `size` heads or channels, the second axis of what it chooses between; `opening` at first."""

    def __init__(self, size: int, opening: float) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.full((size,), opening))

    def forward(self, closed: Tensor, opened: Tensor) -> Tensor:
        """(1 - g) closed + g opened, of one shape (b, size, ...)."""
        gate = self.gate.view(-1, *[1] * (closed.ndim - 2))
        return (1 - gate) * closed + gate * opened


class Gain(nn.Module):
    """A gain of each of `size` channels, which lie on `axis`; `opening` at first."""

    def __init__(self, size: int, opening: float, *, axis: int = 1) -> None:
        super().__init__()
        self.gain, self.axis = nn.Parameter(torch.full((size,), opening)), axis

    def forward(self, x: Tensor) -> Tensor:
        """s x, of the shape of x; of `size` channels where x has one for all."""
        return x.movedim(self.axis, -1).mul(self.gain).movedim(-1, self.axis)
