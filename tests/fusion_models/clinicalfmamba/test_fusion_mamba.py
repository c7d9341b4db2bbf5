"""The Fusion Mamba block: what the other modality may change, and what it may not."""

import pytest
import torch
from torch import nn

from fusion_models.clinicalfmamba.fusion_mamba import FusionMamba
from fusion_models.ssm.scan_orders import FOUR_DIRECTIONS, SIX_DIRECTIONS, ScanOrder
from tests.support.model_measures import gradient, weights_of
from tests.support.official_weights import inp
from tests.support.recorded_scan_calls import record_scan_calls

BOXES = [((2, 3), FOUR_DIRECTIONS), ((2, 3, 4), SIX_DIRECTIONS)]


def block_of(orders: tuple[ScanOrder, ...]) -> FusionMamba:
    torch.manual_seed(0)
    return FusionMamba(8, orders=orders, state=2)


@pytest.mark.parametrize(("orders", "parameters"), [(FOUR_DIRECTIONS, 180_224), (SIX_DIRECTIONS, 204_288)])
def test_parameters(orders: tuple[ScanOrder, ...], parameters: int) -> None:
    with torch.device("meta"):
        assert weights_of(FusionMamba(128, orders=orders, state=8)) == parameters


@pytest.mark.parametrize(("size", "orders"), BOXES)
def test_the_other_modality_changes_delta_b_and_c_alone(
    size: tuple[int, ...], orders: tuple[ScanOrder, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    block, seen = block_of(orders), record_scan_calls(monkeypatch)
    a = inp(0, (1, *size, 8))
    outputs = [block(a, inp(j, (1, *size, 8))) for j in (1, 2)]
    same = [torch.equal(one, other) for one, other in zip(*seen, strict=True)]
    assert same == [True, False, True, False, False, True]
    assert (outputs[0] - outputs[1]).abs().max() > 1e-4


@pytest.mark.parametrize(("size", "orders"), BOXES)
def test_without_x_proj_the_other_modality_does_not_matter(
    size: tuple[int, ...], orders: tuple[ScanOrder, ...]
) -> None:
    block, a = block_of(orders), inp(0, (1, *size, 8))
    for name, parameter in block.named_parameters():
        if "x_proj" in name:
            nn.init.zeros_(parameter)
    assert torch.equal(block(a, inp(1, a.shape)), block(a, inp(2, a.shape)))


def test_one_modality_with_itself_is_the_same_either_way_and_every_parameter_learns() -> None:
    one, other = block_of(FOUR_DIRECTIONS), block_of(FOUR_DIRECTIONS)
    other.load_state_dict(one.state_dict())
    a, b = inp(0, (1, 2, 3, 8)), inp(1, (1, 2, 3, 8))
    assert torch.equal(one(a, a), other(a, a))
    one(a, b).square().sum().backward()
    assert all(gradient(parameter).any() for parameter in one.parameters())
