"""The dilated gated convolution block: its parameters, its formula on one voxel, its reach."""

import pytest
import torch
from torch import nn

from fusion_models.clinicalfmamba.dgcb import BLOCKS
from tests.support.model_measures import gradient, weights_of

LEDGER = {(2, 32): 29_056, (2, 64): 115_456, (2, 128): 460_288, (3, 32): 56_608, (3, 64): 225_856, (3, 128): 902_272}
LINE = {2: (1, 1, 1, 15), 3: (1, 1, 1, 1, 15)}


def block_of_ones(axes: int, *, dilation: int) -> nn.Module:
    """One channel, no norm; every tap along the last axis 1 and every bias 0."""
    block = BLOCKS[axes](1, dilation=dilation, axes=axes, norm=lambda _: nn.Identity())
    for name, parameter in block.named_parameters():
        nn.init.ones_(parameter) if name.endswith("weight") else nn.init.zeros_(parameter)
    return block


@pytest.mark.parametrize(("axes", "channels"), LEDGER)
def test_parameters(axes: int, channels: int) -> None:
    with torch.device("meta"):
        block = BLOCKS[axes](channels, dilation=1, axes=axes, norm=nn.BatchNorm2d if axes == 2 else nn.BatchNorm3d)
    assert weights_of(block) == LEDGER[axes, channels]


def test_the_pyramid_adds_three_levels_of_one_convolution() -> None:
    """x is 1 at the middle: the gate (1)(1) = 1 there and 0 beside it, and of the three taps, 7 apart, one.

    One level spreads (1, 1, 1), the second (1, 2, 3, 2, 1), the third (1, 3, 6, 7, 6, 3, 1): their sum around a lone 1
    is (1, 4, 9, 11, 9, 4, 1).
    """
    block, x = block_of_ones(2, dilation=7), torch.zeros(LINE[2])
    x[..., 7] = 1
    assert block(x).flatten()[4:11].tolist() == [1, 4, 9, 11 + 1, 9, 4, 1]


def test_in_3d_the_dilated_convolution_is_added_as_it_is() -> None:
    block, x = block_of_ones(3, dilation=5), torch.zeros(LINE[3])
    x[..., 7] = 1
    assert block(x).flatten().tolist() == [0, 0, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 0]


@pytest.mark.parametrize("axes", [2, 3])
def test_any_box_keeps_its_size_and_every_parameter_learns(axes: int) -> None:
    block = BLOCKS[axes](4, dilation=3, axes=axes, norm=lambda channels: nn.GroupNorm(1, channels))
    x = torch.rand(2, 4, *(3, 5, 4)[-axes:])
    y = block(x)
    assert y.shape == x.shape
    y.square().sum().backward()
    assert all(gradient(parameter).any() for parameter in block.parameters())
