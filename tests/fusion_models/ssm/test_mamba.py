"""Mamba in one and several orders: ClinicalFMamba's blocks, causality, adapters on its projections."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fusion_models.adapters.injection import adapter_layers, inject, lora_config
from fusion_models.ssm.directional_scan import DirectionalScan
from fusion_models.ssm.mamba import Mamba, MambaBlock
from fusion_models.ssm.scan_orders import FOUR_DIRECTIONS, ROWS, TRI_PLANE, ScanOrder
from tests.support.model_measures import gradient, weights_of
from tests.support.official_weights import inp


@pytest.mark.parametrize(("orders", "parameters"), [(FOUR_DIRECTIONS, 147_200), (TRI_PLANE, 135_168)])
def test_parameters_of_a_latent_block(orders: tuple[ScanOrder, ...], parameters: int) -> None:
    with torch.device("meta"):
        assert weights_of(MambaBlock(Mamba(128, orders=orders, state=8))) == parameters


def test_parameters_of_the_plain_mamba() -> None:
    """65,536 + 1,280 + 6,144 + 2,304 + 2,048 + 256 + 32,768."""
    with torch.device("meta"):
        assert weights_of(Mamba(128, orders=(ROWS,), state=8, inner_norm=nn.Identity)) == 110_336


def test_every_direction_is_gated_by_the_second_half_of_in_proj_before_the_norm() -> None:
    """Gated one by one and averaged, as the paper's code does; the gate is the same for all."""
    torch.manual_seed(0)
    mamba, x = Mamba(8, orders=TRI_PLANE, state=2), inp(0, (1, 2, 3, 4, 8))
    v, gate = mamba.in_proj(x)[..., :16], F.silu(mamba.in_proj(x)[..., 16:])
    gated = []
    for k, order in enumerate(TRI_PLANE):
        one = DirectionalScan(16, orders=(order,), state=2, rank=1)
        one.directions[0].load_state_dict(mamba.scan.directions[k].state_dict())
        for name, parameter in one.conv.named_parameters():
            parameter.data = mamba.scan.conv.get_parameter(name).data[16 * k : 16 * k + 16]
        gated.append(one(v) * gate)
    expected = mamba.out_proj(mamba.inner_norm(torch.stack(gated).mean(0)))
    torch.testing.assert_close(mamba(x), expected, atol=1e-6, rtol=1e-5)


def test_a_block_whose_out_proj_is_zero_is_the_identity() -> None:
    block, x = MambaBlock(Mamba(8, orders=FOUR_DIRECTIONS, state=2)), inp(0, (1, 2, 3, 8))
    nn.init.zeros_(block.mamba.out_proj.weight)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize(("orders", "causal"), [((ROWS,), True), (FOUR_DIRECTIONS, False)])
def test_a_block_of_one_direction_is_causal_and_of_four_is_not(orders: tuple[ScanOrder, ...], causal: bool) -> None:
    torch.manual_seed(0)
    block, x = MambaBlock(Mamba(8, orders=orders, state=2)), inp(0, (1, 3, 4, 8))
    changed = x.clone()
    changed[0, 2, 0] += 1
    reached = (block(x) != block(changed)).any(-1).flatten()
    assert reached[:8].any().item() is not causal
    assert reached[8]


def test_adapters_wrap_every_projection_and_every_parameter_learns() -> None:
    block, x = MambaBlock(Mamba(16, orders=TRI_PLANE, state=2)), inp(0, (1, 2, 3, 4, 16))
    block(x).square().sum().backward()
    assert all(gradient(parameter).any() for parameter in block.parameters())
    fresh = block(x)
    inject(
        block, lora_config(method="lora", rank=2, alpha=4, targets=("in_proj", "out_proj", "x_proj", "dt_proj")), seed=1
    )
    scans = [f"mamba.scan.directions.{k}.{name}" for k in range(3) for name in ("dt_proj", "x_proj")]
    assert sorted(adapter_layers(block)) == ["mamba.in_proj", "mamba.out_proj", *scans]
    torch.testing.assert_close(block(x), fresh, atol=1e-6, rtol=1e-5)
    for layer in adapter_layers(block).values():
        nn.init.ones_(layer.lora_B["default"].weight)
    assert (block(x) - fresh).abs().max() > 1e-3
