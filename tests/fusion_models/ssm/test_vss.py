"""SS2D and the VSS block against outputs of the official graph under written weights, and what must hold for any."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusion_models.adapters.injection import adapter_layers, inject, lora_config
from fusion_models.adapters.keys import parameters_by_key
from fusion_models.ssm.cross_scan import cross_merge, reading
from fusion_models.ssm.selective_scan import selective_scan_fn
from fusion_models.ssm.vss import SS2D, VSSBlock
from tests.support.model_measures import gradient, weights_of
from tests.support.official_weights import assert_golden, inp, load_golden, values

PROJECTIONS = ("in_proj", "out_proj", "x_proj", "dt_proj")
# width -> parameters of one block of 16 states
BLOCKS = {96: 105_408, 192: 339_840, 384: 1_195_776, 768: 4_455_936}


def symmetric(width: int, *, state: int) -> SS2D:
    """An SS2D without a preferred direction: equal S6, and a kernel that no transpose or flip changes."""
    net = SS2D(width, state=state)
    load_golden(net)
    for other in net.directions[1:]:
        other.load_state_dict(net.directions[0].state_dict())
    kernel = net.conv2d.weight.detach()
    kernel = kernel + kernel.transpose(2, 3)
    kernel = kernel + kernel.flip(2)
    net.conv2d.weight = nn.Parameter(kernel + kernel.flip(3))
    return net


def test_the_written_rule_in_integers_of_python() -> None:
    x = 1
    for _ in range(2):
        x = ((x >> 16) ^ x) * 0x45D9F3B % 2**32
    x = (x >> 16) ^ x
    assert values(1, 0).item() == x / 2**31 - 1
    assert torch.equal(values(3, 0)[1:], values(2**22, 0)[1:3])


def test_scan_equals_the_official_one() -> None:
    y = selective_scan_fn(
        inp(0, (1, 6, 5)),
        inp(1, (1, 6, 5)),
        -inp(2, (6, 2)).exp(),
        inp(3, (1, 2, 2, 5)),
        inp(4, (1, 2, 2, 5)),
        inp(5, (6,)),
        delta_bias=inp(6, (6,)),
        delta_softplus=True,
    )
    assert isinstance(y, Tensor)
    assert_golden(y, (-0.159254, 0.416370, 0.035910, -0.025150, -0.303795, 0.625671, -0.800586))


def test_ss2d_equals_the_official_one_on_a_map_of_3_by_5() -> None:
    net = SS2D(8, state=4)
    load_golden(net)
    expected = (0.023927, 0.204404, -0.026220, 0.048494, 0.654741, -0.262234, 0.100457)
    assert_golden(net(inp(0, (1, 3, 5, 8))), expected)


def test_vss_block_equals_the_official_one() -> None:
    block = VSSBlock(8, state=16)
    load_golden(block)
    expected = (-0.046643, 0.651779, 0.182551, 0.668063, 0.073353, -0.393160, -0.671972)
    assert_golden(block(inp(0, (1, 4, 4, 8))), expected)


@pytest.mark.parametrize("width", BLOCKS)
def test_parameters_of_a_block(width: int) -> None:
    with torch.device("meta"):
        block = VSSBlock(width, state=16)
    rank = math.ceil(width / 16)
    assert weights_of(block.op) == 6 * width**2 + 40 * width + 16 * width * rank + 24 * width * 16
    assert weights_of(block) == BLOCKS[width]


def test_a_block_whose_out_proj_is_zero_is_the_identity() -> None:
    block, x = VSSBlock(8, state=4), inp(0, (2, 3, 4, 8))
    nn.init.zeros_(block.op.out_proj.weight)
    assert torch.equal(block(x), x)


def test_equal_directions_commute_with_transpose_and_half_turn() -> None:
    net, x = symmetric(8, state=4), inp(0, (1, 3, 5, 8))
    torch.testing.assert_close(net(x.transpose(1, 2)), net(x).transpose(1, 2), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(net(x.flip(1, 2)), net(x).flip(1, 2), atol=1e-5, rtol=1e-5)


def test_different_directions_do_not() -> None:
    net, x = symmetric(8, state=4), inp(0, (1, 3, 5, 8))
    with torch.no_grad():
        net.get_parameter("directions.1.x_proj.weight").mul_(-1)
    assert (net(x.transpose(1, 2)) - net(x).transpose(1, 2)).abs().max() > 1e-3


def test_ct_and_pet_stacked_on_the_batch_axis_equal_two_calls() -> None:
    block = VSSBlock(8, state=4)
    load_golden(block)
    ct, pet = inp(0, (1, 3, 5, 8)), inp(1, (1, 3, 5, 8))
    torch.testing.assert_close(block(torch.cat([ct, pet])), torch.cat([block(ct), block(pet)]), atol=1e-6, rtol=1e-5)


def test_one_scan_call_for_all_directions_equals_four_s6() -> None:
    net, x = SS2D(8, state=4), inp(0, (2, 3, 5, 8))
    load_golden(net)
    a, z = net.in_proj(x).chunk(2, dim=-1)
    a = F.silu(net.conv2d(a.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)
    sequences = torch.stack([s6(reading(a, k)) for k, s6 in enumerate(net.directions)], dim=1)
    y = net.out_proj(net.out_norm(cross_merge(sequences, (3, 5))) * F.silu(z))
    torch.testing.assert_close(net(x), y, atol=1e-5, rtol=1e-5)


def test_every_parameter_gets_a_gradient() -> None:
    net = VSSBlock(8, state=4)
    net(inp(0, (1, 3, 5, 8))).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert gradient(parameter).isfinite().all(), name
        assert gradient(parameter).any(), name


@pytest.mark.parametrize("method", ["lora", "dora"])
def test_adapters_of_every_projection_learn_b_first_and_a_after_one_step(method: str) -> None:
    net = VSSBlock(32, state=4)
    x, fresh = inp(0, (1, 3, 5, 32)), net(inp(0, (1, 3, 5, 32)))
    inject(net, lora_config(method=method, rank=2, alpha=4, targets=PROJECTIONS), seed=1)
    directions = [f"op.directions.{k}.{name}" for k in range(4) for name in ("dt_proj", "x_proj")]
    assert sorted(adapter_layers(net)) == sorted([*directions, "op.in_proj", "op.out_proj"])
    torch.testing.assert_close(net(x), fresh, atol=1e-6, rtol=1e-5)
    adapters = {key: parameter for key, parameter in parameters_by_key(net).items() if "#" in key}
    assert all((g != 0).any() == (not key.endswith("#lora_a")) for key, g in step(net, x, adapters).items())
    assert all((g != 0).any() for g in step(net, x, adapters).values())


def step(net: nn.Module, x: Tensor, adapters: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    """Finite gradients of the adapters, after which each has moved against its own."""
    gradients = torch.autograd.grad(net(x).square().sum(), list(adapters.values()))
    assert all(gradient.isfinite().all() for gradient in gradients)
    with torch.no_grad():
        for parameter, gradient in zip(adapters.values(), gradients, strict=True):
            parameter.sub_(0.01 * gradient / gradient.norm().clamp(min=1e-12))
    return dict(zip(adapters, gradients, strict=True))
