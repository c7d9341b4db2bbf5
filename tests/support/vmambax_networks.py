"""vMambaX of the table's sizes with one output channel, in evaluation mode: the paper's network, and a tiny one."""

from typing import Any

import torch
from torch import nn

from fusion_models.options import Sizes
from fusion_models.vmambax.network import VMambaX
from fusion_models.vmambax.slices import VMAMBAX_PAPER, VMAMBAX_TINY, build_vmambax

SIDE = 16


def paper(side: int, **options: Any) -> VMambaX:
    """The published network for square slices, with the published normalisation."""
    return network(VMAMBAX_PAPER, size_yx=(side, side), norm=nn.BatchNorm2d, **options)


def tiny(seed: int = 0, **options: Any) -> VMambaX:
    """A network for slices of 16 x 16."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return network(VMAMBAX_TINY, size_yx=(SIDE, SIDE), **options)


def network(sizes: Sizes, *, size_yx: tuple[int, int], **options: Any) -> VMambaX:
    """A network of a row's sizes but for the options."""
    built = build_vmambax(crop_zyx=(1, *size_yx), **{"classes": 1, **sizes, **options}).network
    assert isinstance(built, VMambaX)
    return built.eval()
