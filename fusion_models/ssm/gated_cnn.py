"""The mixers of the referees: what stands where a selective scan is, of as many weights and without a state.

    u = conv_7(v)                  depthwise, 7 neighbours on each axis, with bias      (7^a + 1) d weights
    y = u + up(GELU(down(u)))      d -> h -> d, no biases                               2 d h

after MambaOut (arXiv 2405.07992), whose gated CNN block is Mamba's without the state-space model: projections, gate and
norm around it stay what they are, and tokens mix through a depthwise 7-wide convolution alone. There the rest of the
scan's weights is left out; here a small MLP has them, so that both networks are of one size. d is the width, a the
axes, and h the number for which the weights come nearest to those of the scans: d (2R + 3N + 2) each, for N states and
a step of rank R. A sequence is convolved in the order in which it is scanned.
"""

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from fusion_models.ssm.cross_scan import DIRECTIONS
from fusion_models.ssm.vss import GatedMapMixer

KERNEL = 7
CONVOLUTIONS: Mapping[int, type[nn.Conv1d | nn.Conv2d]] = {1: nn.Conv1d, 2: nn.Conv2d}


def scan_weights(width: int, *, state: int, rank: int) -> int:
    """Weights of one `S6`: x_proj d (R + 2N), dt_proj d (R + 1), A d N and D d."""
    return width * (2 * rank + 3 * state + 2)


def matched_hidden(width: int, weights: int, *, axes: int) -> int:
    """h, so that the mixer has nearest to `weights` weights.

    Raises:
        ValueError: the convolution alone has more.
    """
    convolution = (KERNEL**axes + 1) * width
    hidden = round((weights - convolution) / (2 * width))
    if hidden < 1:
        raise ValueError(
            f"a scan of {weights} weights is too small for a convolution of {convolution} in its place and an MLP "
            f"beside it; give it more states"
        )
    return hidden


class PlainMixer(nn.Module):
    """A depthwise convolution and a residual MLP over maps or sequences, channel last: (b, *size, d) -> the same.

    Args:
        width: d. weights: how many it is to have. axes: of `size`, 1 or 2.
    """

    def __init__(self, width: int, *, weights: int, axes: int) -> None:
        super().__init__()
        hidden = matched_hidden(width, weights, axes=axes)
        self.spread = CONVOLUTIONS[axes](width, width, KERNEL, padding=KERNEL // 2, groups=width)
        self.down = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(hidden, width, bias=False)

    def forward(self, v: Tensor) -> Tensor:
        """(b, *size, d) -> (b, *size, d)."""
        u = self.spread(v.movedim(-1, 1)).movedim(1, -1).contiguous()
        return u + self.up(F.gelu(self.down(u)))


class MapCnn(GatedMapMixer):
    """`SS2D` with a plain mixer in place of its four scans."""

    def add_mixer(self, inner: int, *, state: int, rank: int) -> None:
        """The mixer, of the weights that the scans of so many states and such a rank have."""
        weights = DIRECTIONS * scan_weights(inner, state=state, rank=rank)
        self.mixer = PlainMixer(inner, weights=weights, axes=2)

    def mix(self, maps: Tensor) -> Tensor:
        """(b, y, x, d) -> (b, y, x, d)."""
        mixed: Tensor = self.mixer(maps)
        return mixed


class SequenceCnn(PlainMixer):
    """A plain mixer in place of one `S6`, built as that is."""

    def __init__(self, width: int, *, state: int, rank: int) -> None:
        super().__init__(width, weights=scan_weights(width, state=state, rank=rank), axes=1)
