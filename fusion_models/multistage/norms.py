"""The normalisations of the multi-stage classifier, by the word that a study file chooses: all have 2c parameters.

    batch       over the batch at hand and all positions, a channel each; the published one, without running statistics
    instance    over the positions of each case and channel
    group       over the positions of each case and a group of channels

Running means are state that no parameter carries between centers. The published training has batches of one case: for
those "batch" and "instance" are the same. With more cases a batch only "instance" predicts one case by itself as it was
trained; the small sizes take it for that.
"""

from collections.abc import Callable, Mapping
from functools import partial
from math import gcd

from torch import nn

NormFactory = Callable[[int], nn.Module]
GROUPS = 8


def group_norm(channels: int) -> nn.GroupNorm:
    """As many groups as both 8 and the channels are multiples of."""
    return nn.GroupNorm(gcd(GROUPS, channels), channels)


NORMS: Mapping[str, NormFactory] = {
    "batch": partial(nn.BatchNorm3d, track_running_stats=False),
    "instance": partial(nn.InstanceNorm3d, affine=True),
    "group": group_norm,
}
