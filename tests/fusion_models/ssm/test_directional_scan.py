"""Scans of several orders in one call against one S6 an order, their direction in time, and what drives them."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusion_models.ssm.directional_scan import DirectionalScan
from fusion_models.ssm.s6 import S6
from fusion_models.ssm.scan_orders import FOUR_DIRECTIONS, SIX_DIRECTIONS, ScanOrder, merge, read
from tests.support.model_measures import gradient
from tests.support.official_weights import inp
from tests.support.recorded_scan_calls import record_scan_calls

SIZE, WIDTH = (2, 3, 5), 4
FORWARDS, BACKWARDS = ScanOrder((0,)), ScanOrder((0,), backwards=True)


def scan_of(*orders: ScanOrder) -> DirectionalScan:
    torch.manual_seed(0)
    return DirectionalScan(WIDTH, orders=orders, state=3, rank=2)


def convolve(scan: DirectionalScan, k: int, sequence: Tensor) -> Tensor:
    """SiLU of torch's own causal convolution of one order's sequence (b, l, d)."""
    rows = slice(k * WIDTH, (k + 1) * WIDTH)
    assert scan.conv.bias is not None
    weight, bias = scan.conv.weight[rows], scan.conv.bias[rows]
    return F.silu(F.conv1d(F.pad(sequence.mT, (3, 0)), weight, bias, groups=WIDTH).mT)


def test_one_call_equals_one_s6_an_order(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = record_scan_calls(monkeypatch)
    scan, x = scan_of(*SIX_DIRECTIONS), inp(0, (2, *SIZE, WIDTH))
    found = scan(x)
    assert len(calls) == 1
    singles = [s6(convolve(scan, k, read(x, scan.orders[k]))) for k, s6 in enumerate(scan.directions)]
    expected = merge(torch.stack(singles, dim=1), SIZE, SIX_DIRECTIONS) / 6
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_a_scan_backwards_is_that_of_the_reversed_input_reversed() -> None:
    """Catches an output that is flipped twice: there position t has the state of position n - 1 - t."""
    forwards, backwards = scan_of(FORWARDS), scan_of(BACKWARDS)
    backwards.load_state_dict(forwards.state_dict())
    x = inp(0, (1, 7, WIDTH))
    torch.testing.assert_close(backwards(x), forwards(x.flip(1)).flip(1), atol=0, rtol=0)
    assert (backwards(x) - forwards(x)).abs().max() > 1e-3


@pytest.mark.parametrize("k", range(6))
def test_every_order_on_a_box_is_the_forward_scan_of_what_it_reads(k: int) -> None:
    order = SIX_DIRECTIONS[k]
    scan, line = scan_of(order), scan_of(FORWARDS)
    x = inp(0, (1, *SIZE, WIDTH))
    expected = merge(line(read(x, order))[:, None], SIZE, (order,))
    torch.testing.assert_close(scan(x), expected, atol=0, rtol=0)


@pytest.mark.parametrize(("orders", "causal"), [((ScanOrder((0, 1)),), True), (FOUR_DIRECTIONS, False)])
def test_one_direction_is_causal_and_four_are_not(orders: tuple[ScanOrder, ...], causal: bool) -> None:
    scan, x = scan_of(*orders), inp(0, (1, 3, 4, WIDTH))
    changed = x.clone()
    changed[0, 1, 2] += 1
    before = (scan(x) != scan(changed)).any(-1).flatten()[:6]
    assert before.any().item() is not causal


def step_through(s6: nn.Module, u: Tensor, other: Tensor) -> Tensor:
    """The recurrence fed by u and driven by another sequence, both (1, l, d), one step after another."""
    assert isinstance(s6, S6)
    delta, b, c = s6.parameters_from(s6.x_proj(other))
    state, steps = torch.zeros(WIDTH, 3), []
    for t in range(u.shape[1]):
        step = F.softplus(delta[0, t])[:, None]
        state = torch.exp(step * s6.A) * state + step * b[0, t] * u[0, t][:, None]
        steps.append(state @ c[0, t] + s6.D * u[0, t])
    return torch.stack(steps)[None]


def test_selectors_drive_every_scan_in_its_own_order_and_the_values_feed_it() -> None:
    scan, v, other = scan_of(*SIX_DIRECTIONS), inp(0, (1, *SIZE, WIDTH)), inp(1, (1, *SIZE, WIDTH))
    singles = []
    for k, (order, s6) in enumerate(zip(scan.orders, scan.directions, strict=True)):
        singles.append(step_through(s6, convolve(scan, k, read(v, order)), read(other, order)))
    expected = merge(torch.stack(singles, dim=1), SIZE, SIX_DIRECTIONS) / 6
    torch.testing.assert_close(scan(v, other), expected, atol=1e-6, rtol=1e-5)


def test_every_parameter_gets_a_gradient_and_half_precision_comes_back_full() -> None:
    scan, x = scan_of(*SIX_DIRECTIONS), inp(0, (1, *SIZE, WIDTH)).bfloat16()
    y = scan(x)
    assert y.dtype == torch.float32
    y.square().sum().backward()
    assert all(gradient(parameter).any() for parameter in scan.parameters())
