"""Residual blocks and streams: shapes, the formula on numbers one can check, and the ledger of a stream."""

import pytest
import torch
from torch import nn

from fusion_models.multistage.norms import NORMS
from fusion_models.multistage.residual import ResidualBlock, make_stream, smallest_map, stage_widths
from tests.support.model_measures import weights_of

BATCH = NORMS["batch"]


def test_a_block_of_the_same_shape_has_an_identity_shortcut() -> None:
    assert isinstance(ResidualBlock(16, 16, stride=1, norm=BATCH).shortcut, nn.Identity)


@pytest.mark.parametrize(("inputs", "stride"), [(8, 1), (16, 2)])
def test_a_block_that_changes_the_shape_projects_its_input(inputs: int, stride: int) -> None:
    block = ResidualBlock(inputs, 16, stride=stride, norm=BATCH)
    assert weights_of(block.shortcut) == 16 * inputs + 16 + 32


def test_a_block_without_inner_convolutions_is_its_rectified_input() -> None:
    block = ResidualBlock(2, 2, stride=1, norm=BATCH)
    nn.init.zeros_(block.get_parameter("norm2.weight"))
    x = torch.tensor([-1.0, 2.0]).reshape(1, 2, 1, 1, 1).expand(1, 2, 2, 2, 2)
    torch.testing.assert_close(block(x), x.clamp(min=0))


def test_a_block_adds_the_shift_of_its_last_norm_to_the_shortcut() -> None:
    """With scale 0 and shift 3 of the second norm, an input of -1 becomes 2."""
    block = ResidualBlock(1, 1, stride=1, norm=BATCH)
    nn.init.zeros_(block.get_parameter("norm2.weight"))
    nn.init.constant_(block.get_parameter("norm2.bias"), 3)
    torch.testing.assert_close(block(-torch.ones(1, 1, 2, 2, 2)), 2 * torch.ones(1, 1, 2, 2, 2))


def test_a_stream_halves_once_a_stage_and_rounds_up() -> None:
    x = torch.rand(1, 1, 9, 7, 12)
    shapes = []
    for stage in make_stream(1, (4, 8), 2, BATCH):
        x = stage(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [(4, 5, 4, 6), (8, 3, 2, 3)]


def test_the_published_stream_has_800240_parameters() -> None:
    with torch.device("meta"):
        assert weights_of(make_stream(1, stage_widths(16, 3), 3, BATCH)) == 800_240


def test_the_predecessors_stages_have_the_parameters_of_its_code() -> None:
    with torch.device("meta"):
        stages = make_stream(1, stage_widths(16, 4), 1, BATCH)
    assert [weights_of(stage) for stage in stages] == [7_504, 42_272, 168_512, 672_896]


def test_widths_double_once_a_stage() -> None:
    assert stage_widths(16, 3) == (16, 32, 64)


def test_the_published_crop_leaves_a_map_of_12_by_22_by_32() -> None:
    assert smallest_map((96, 176, 256), 3) == (12, 22, 32)


def test_an_odd_size_is_rounded_up() -> None:
    assert smallest_map((61, 113, 97), 3) == (8, 15, 13)
