"""The arithmetic of `benchmarks/speed/fusion.py`: its simple scan, what it counts, what its ratios are of."""

import pytest
import torch
from torch import nn

from fusion_models.ssm.scan_orders import ScanOrder
from fusion_models.ssm.selective_scan import selective_scan_fn
from tests.support.benchmark_scripts import load_script

fusion = load_script("speed/fusion.py")
ORDERS = (ScanOrder((0, 1)), ScanOrder((1, 0)))


def test_the_simple_scan_is_the_same_scan() -> None:
    torch.manual_seed(0)
    u, delta = torch.randn(2, 2, 6, 5)
    A, D, B, C = -torch.rand(6, 3), torch.rand(6), torch.randn(2, 2, 3, 5), torch.randn(2, 2, 3, 5)
    arguments = (u, delta, A, B, C, D)
    expected = selective_scan_fn(*arguments, delta_softplus=True)
    torch.testing.assert_close(fusion.simple_scan(*arguments, delta_softplus=True), expected, atol=1e-5, rtol=1e-5)


def test_a_layers_cost_is_its_products_and_what_it_reads_and_writes() -> None:
    """A linear layer of 4 x 3 weights on 5 rows: 60 multiply-adds; 12 weights, 20 values in and 15 out."""
    layer = nn.Linear(4, 3, bias=False)
    x = torch.rand(5, 4)
    assert fusion.cost_of(nn.Sequential(layer), lambda: layer(x)) == (60, 0, 12 + 20 + 15)


def test_ratios_are_of_processor_seconds_turn_by_turn() -> None:
    arms = (fusion.OURS, fusion.SIMPLE, *fusion.LIMITS)
    turns = [
        dict(zip(arms, (fusion.Seconds(9.0, k * share) for share in (2, 6, 1, 0.5, 0.1)), strict=True))
        for k in (1, 5, 2)
    ]
    found = fusion.summarise(turns)
    assert found["simple_scan_ratio"] == 3
    assert found["shares"] == pytest.approx({fusion.ARITHMETIC: 0.5, fusion.EXPONENTIALS: 0.25, fusion.BYTES: 0.05})
    assert found["processor_s"][fusion.OURS] == 4
    assert found["clock_s"][fusion.OURS] == pytest.approx(9)


def test_a_scans_cost_is_an_exponential_a_step_channel_and_state() -> None:
    """Of 2 directions with 4 channels and 3 states on 6 pixels."""
    scan = fusion.directional_scan.DirectionalScan(4, orders=ORDERS, state=3, rank=1)
    assert fusion.cost_of(scan, lambda: scan(torch.rand(1, 2, 3, 4))).exponentials == 2 * 4 * 3 * 6
