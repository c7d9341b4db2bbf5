"""The hierarchical encoder: its parameters to the unit, its taps, and the merging of patches."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fusion_models.ssm.vmamba_checkpoint import later_name
from fusion_models.ssm.vss import VSSBlock
from fusion_models.ssm.vss_encoder import PatchEmbed, PatchMerging, VSSEncoder
from tests.support.model_measures import weights_of
from tests.support.official_weights import assert_golden, inp, load_golden

TINY_DEPTHS = (2, 2, 9, 2)


@pytest.fixture
def net() -> Any:
    encoder = VSSEncoder(1, width=4, depths=(1, 2), state=2, patch=2)
    load_golden(encoder, later_name)
    return encoder


def tiny() -> Any:
    with torch.device("meta"):
        return VSSEncoder(3, width=96, depths=TINY_DEPTHS, state=16)


def test_tiny_has_22_122_912_parameters_and_each_part_its_own() -> None:
    encoder = tiny()
    assert weights_of(encoder) == 22_122_912
    assert weights_of(encoder.patch_embed) == 4_896
    assert [weights_of(stage.blocks) for stage in encoder.stages] == [210_816, 679_680, 10_761_984, 8_911_872]
    assert [weights_of(stage.downsample) for stage in encoder.stages] == [74_496, 296_448, 1_182_720, 0]


def test_tiny_taps_have_strides_4_to_32() -> None:
    shapes = [tuple(tap.shape) for tap in tiny()(torch.zeros(2, 3, 64, 128, device="meta"))]
    assert shapes == [(2, 16, 32, 96), (2, 8, 16, 192), (2, 4, 8, 384), (2, 2, 4, 768)]


def test_taps_are_the_blocks_outputs_and_the_next_stage_starts_from_them(net: Any) -> None:
    x = inp(0, (1, 1, 8, 12))
    fine, coarse = net(x)
    assert torch.equal(fine, net.stages[0].blocks(net.patch_embed(x)))
    assert torch.equal(coarse, net.stages[1].blocks(net.stages[0].downsample(fine)))
    assert all(torch.equal(*pair) for pair in zip(net.taps(net.patch_embed(x)), (fine, coarse), strict=True))


def test_cases_stacked_on_the_batch_axis_equal_two_calls(net: Any) -> None:
    ct, pet = inp(0, (1, 1, 8, 12)), inp(1, (1, 1, 8, 12))
    for both, one, other in zip(net(torch.cat([ct, pet])), net(ct), net(pet), strict=True):
        torch.testing.assert_close(both, torch.cat([one, other]), atol=1e-5, rtol=1e-5)


def test_patch_merging_equals_the_official_one() -> None:
    merging = PatchMerging(8)
    load_golden(merging)
    expected = (0.014068, 0.712538, -0.375856, 0.205745, 1.042042, 0.332831, -1.193560)
    assert_golden(merging(inp(0, (1, 4, 6, 8))), expected)


def merged(x: Tensor) -> Tensor:
    """What reaches the linear layer before the norm: both replaced by the identity."""
    merging: Any = PatchMerging(x.shape[-1])
    merging.norm, merging.reduction = nn.Identity(), nn.Identity()
    return merging(x)


def test_a_square_becomes_its_pixels_down_the_columns() -> None:
    assert merged(torch.tensor([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1)).flatten().tolist() == [1, 3, 2, 4]


def test_an_odd_map_is_zero_padded_below_and_on_the_right() -> None:
    assert merged(torch.ones(1, 3, 1, 1))[0, :, 0].tolist() == [[1, 1, 0, 0], [1, 0, 0, 0]]


def test_patch_embedding_divides_the_size_and_normalises_each_token() -> None:
    tokens = PatchEmbed(3, 16, patch=4)(inp(0, (2, 3, 8, 12)))
    assert tokens.shape == (2, 2, 3, 16)
    torch.testing.assert_close(tokens.mean(-1), torch.zeros(2, 2, 3), atol=1e-6, rtol=0)


def test_encoder_projections_start_with_spread_0_02_and_the_scan_keeps_its_own() -> None:
    encoder: Any = VSSEncoder(1, width=32, depths=(1, 1), state=2)
    block = encoder.stages[0].blocks[0].op
    for weight in (block.in_proj.weight, block.out_proj.weight, encoder.stages[0].downsample.reduction.weight):
        assert weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert block.directions[0].x_proj.weight.std().item() == pytest.approx((1 / 64 / 3) ** 0.5, rel=0.15)


def test_drop_path_rates_go_to_the_blocks_in_order() -> None:
    encoder = VSSEncoder(1, width=4, depths=(1, 2), state=2, drop_paths=(0.0, 0.25, 0.5))
    rates = [block.drop_path.drop_prob for block in encoder.modules() if isinstance(block, VSSBlock)]
    assert rates == [0.0, 0.25, 0.5]


def test_one_rate_a_block_is_needed() -> None:
    with pytest.raises(ValueError, match=r"depths \(1, 2\) need 3 drop-path rates, found 2"):
        VSSEncoder(1, width=4, depths=(1, 2), state=2, drop_paths=(0.0, 0.1))
    with pytest.raises(ValueError, match=r"depths \(\) need"):
        VSSEncoder(1, width=4, depths=(), state=2)


def test_a_side_that_is_no_multiple_of_the_patch_is_refused(net: Any) -> None:
    with pytest.raises(ValueError, match=r"multiples of patch 2, found \(8, 5\)"):
        net(torch.zeros(1, 1, 8, 5))
