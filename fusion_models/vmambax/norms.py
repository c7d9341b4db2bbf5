"""The normalisation of fusion modules, chosen by the caller as a factory: channels -> module over (b, c, y, x).

The paper's is `torch.nn.BatchNorm2d`. Its running statistics are state that adapters do not carry between centers, and
on CGM's pooled 1 x 1 map it cannot train on a batch of one. `group_norm` has the same parameters and neither drawback.
"""

from collections.abc import Callable

from torch import nn

NormFactory = Callable[[int], nn.Module]


def group_norm(channels: int) -> nn.GroupNorm:
    """Each case normalised by itself over all channels and positions: any batch size, no running statistics."""
    return nn.GroupNorm(1, channels)
