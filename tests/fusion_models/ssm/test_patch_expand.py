"""Upsampling by a linear layer: where each channel goes, and the numbers of the official graph."""

import pytest
import torch
from torch import nn

from fusion_models.ssm.patch_expand import FinalExpand, PatchExpand, pixel_shuffle
from tests.support.official_weights import assert_golden, inp, load_golden


def test_pixel_shuffle_reads_channels_as_row_column_channel() -> None:
    """One pixel, eight channels: p1 slowest, the channel fastest."""
    shuffled = pixel_shuffle(torch.arange(8).reshape(1, 1, 1, 8), 2)
    assert shuffled[0].tolist() == [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]


def test_patch_expand_equals_the_official_one() -> None:
    expand = PatchExpand(8)
    load_golden(expand)
    y = expand(inp(0, (1, 2, 3, 8)))
    assert y.shape == (1, 4, 6, 4)
    assert_golden(y, (-0.005267, 0.910449, 1.619219, -0.902325, 1.166975, -0.317090, -0.973428), atol=2e-6)


def test_final_expand_gives_each_pixel_of_a_square_its_own_rows_of_the_linear_layer() -> None:
    """Factor 4, width 2: the pixel in row 1, column 2 of the square is rows 12 and 13 of the layer, normalised."""
    expand, x = FinalExpand(2, 4), inp(0, (1, 3, 2, 2))
    y = expand(x)
    assert y.shape == (1, 12, 8, 2)
    assert torch.equal(y[:, 1::4, 2::4], expand.norm(expand.expand(x)[..., 12:14]))


def test_neither_has_a_bias_in_its_linear_layer() -> None:
    layers = [each for part in (PatchExpand(8), FinalExpand(8, 4)) for each in part.modules()]
    assert [each.bias for each in layers if isinstance(each, nn.Linear)] == [None, None]


def test_an_odd_width_is_refused() -> None:
    with pytest.raises(ValueError, match="must be even; found 5"):
        PatchExpand(5)
