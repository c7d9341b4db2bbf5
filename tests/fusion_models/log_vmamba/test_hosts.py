"""What both hosts share: how convolutions start, and one entry a stage in every list."""

import pytest
import torch
from torch import nn

from fusion_models.log_vmamba.block import GlobalTokens
from fusion_models.log_vmamba.hosts import check_stages, global_tokens, kaiming


def test_a_convolution_starts_kaiming_normal_without_bias_and_a_linear_layer_stays() -> None:
    """Spread sqrt(2 / (1 + 0.01^2) / (9 * 64)) of 36 864 weights."""
    torch.manual_seed(0)
    convolution, linear = nn.Conv2d(64, 64, 3), nn.Linear(8, 8)
    before = linear.weight.detach().clone()
    nn.Sequential(convolution, linear).apply(kaiming)
    assert convolution.weight.std().item() == pytest.approx((2 / 1.0001 / 576) ** 0.5, rel=0.03)
    assert convolution.bias is not None
    assert not convolution.bias.any()
    assert torch.equal(linear.weight, before)


def test_only_variants_with_global_tokens_get_some() -> None:
    found = global_tokens(("l", "log", "g"), strides=(1, 2, 3), squeezes=(4, 5, 6), placement="head")
    assert found == [None, GlobalTokens(2, 5, "head"), GlobalTokens(3, 6, "head")]


def test_lists_of_another_length_and_unknown_variants_are_refused() -> None:
    with pytest.raises(ValueError, match=r"strides must have 2 entries.* found \(1,\)"):
        check_stages(2, widths=(1, 2), strides=(1,))
    with pytest.raises(ValueError, match="'lg'"):
        global_tokens(("lg",), strides=(1,), squeezes=(1,), placement="head")
