"""CGM: what its gates read, what they do to the maps, and the official code's numbers."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fusion_models.vmambax.cgm import Cgm, ContextGate, weaken
from fusion_models.vmambax.norms import group_norm
from fusion_models.vmambax.official_names import official_name
from tests.support.model_measures import gradient, weights_of
from tests.support.official_weights import assert_golden, inp, load_golden

GATED_CT = (-0.050698, 0.617331, 0.324539, 0.289868, 0.446475, 0.185740, -1.078531)
GATED_PET = (0.032398, 0.647996, 1.264401, 0.483624, 0.861596, -1.050912, 0.732175)
NORMS = pytest.mark.parametrize("norm", [nn.BatchNorm2d, group_norm])


def maps(batch: int = 2, width: int = 8, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, width, 4, 6, generator=generator), torch.randn(batch, width, 4, 6, generator=generator)


def seeded(width: int = 8, norm: Callable[[int], nn.Module] = group_norm) -> Cgm:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Cgm(width, norm=norm)


def set_gates(cgm: Cgm, *, channel_bias: float, spatial: float) -> None:
    """c = sigmoid(channel_bias + something small), s from a kernel whose weights are all `spatial`."""
    for gate in (cgm.ct_gate, cgm.pet_gate):
        nn.init.constant_(gate.get_parameter("channel.3.bias"), channel_bias)
        nn.init.constant_(gate.spatial.weight, spatial)


@pytest.mark.parametrize(
    ("width", "hidden", "count"), [(96, 32, 22_208), (192, 48, 62_784), (384, 96, 236_160), (768, 192, 914_688)]
)
def test_parameters_by_hand(width: int, hidden: int, count: int) -> None:
    with torch.device("meta"):
        cgm = Cgm(width, norm=nn.BatchNorm2d)
    assert weights_of(cgm) == count
    assert count == 6 * width * hidden + 4 * hidden + 38 * width


def test_group_norm_has_the_parameters_of_batch_norm_and_no_state() -> None:
    group, batch = seeded(norm=group_norm), seeded(norm=nn.BatchNorm2d)
    assert [p.shape for p in group.parameters()] == [p.shape for p in batch.parameters()]
    assert list(group.buffers()) == []


def test_the_official_code_gives_the_same_numbers() -> None:
    cgm = Cgm(8, norm=nn.BatchNorm2d).eval()
    load_golden(cgm, lambda key: official_name(f"merges.0.cgm.{key}"))
    with torch.no_grad():
        ct, pet = cgm(inp(0, (2, 8, 4, 4)), inp(1, (2, 8, 4, 4)))
    assert_golden(ct, GATED_CT, atol=1e-5)
    assert_golden(pet, GATED_PET, atol=1e-5)


def test_closed_gates_leave_both_maps_exactly_as_they_are() -> None:
    cgm, pair = seeded(), maps()
    set_gates(cgm, channel_bias=-40, spatial=0.3)
    assert all(torch.equal(found, given) for found, given in zip(cgm(*pair), pair, strict=True))


def test_open_channel_gates_and_an_undecided_spatial_gate_give_exactly_one_and_a_half() -> None:
    cgm, pair = seeded(), maps()
    set_gates(cgm, channel_bias=40, spatial=0)
    assert all(torch.equal(found, 1.5 * given) for found, given in zip(cgm(*pair), pair, strict=True))


def test_without_residual_the_same_gates_halve() -> None:
    cgm, pair = Cgm(8, norm=group_norm, gating=weaken), maps()
    set_gates(cgm, channel_bias=40, spatial=0)
    assert all(torch.equal(found, 0.5 * given) for found, given in zip(cgm(*pair), pair, strict=True))


@NORMS
def test_a_value_grows_by_a_factor_between_one_and_two(norm: Callable[[int], nn.Module]) -> None:
    with torch.no_grad():
        gated = seeded(norm=norm)(*maps())
    for found, given in zip(gated, maps(), strict=True):
        ratio = found / given
        assert 1 < float(ratio.min()) < float(ratio.max()) < 2


def test_a_fresh_gate_is_open_to_a_quarter() -> None:
    ct, pet = maps(width=96)
    gate = seeded(96, nn.BatchNorm2d).eval().ct_gate(pet, ct).detach()
    assert float(gate.mean()) == pytest.approx(0.246, abs=0.02)
    assert 0.05 < float(gate.min()) < float(gate.max()) < 0.6


def test_a_gate_reads_the_other_modality_first() -> None:
    """With c = 1 and a kernel that is 1 at the centre of input channel 0, G is the sigmoid of the other's channel 0."""
    gate = ContextGate(8, norm=group_norm)
    nn.init.constant_(gate.get_parameter("channel.3.bias"), 40)
    nn.init.zeros_(gate.spatial.weight)
    with torch.no_grad():
        gate.spatial.weight[0, 0, 1, 1] = 1
    ct, pet = maps()
    torch.testing.assert_close(gate(pet, ct), pet[:, :1].sigmoid().expand_as(ct))


def test_each_modality_is_its_own_gates_second_input() -> None:
    cgm, (ct, pet) = seeded(), maps()
    gated_ct, gated_pet = cgm(ct, pet)
    assert torch.equal(gated_ct, ct * (1 + cgm.ct_gate(pet, ct)))
    assert torch.equal(gated_pet, pet * (1 + cgm.pet_gate(ct, pet)))


def test_with_equal_weights_swapping_the_inputs_swaps_the_outputs() -> None:
    cgm, (ct, pet) = seeded(), maps()
    cgm.pet_gate.load_state_dict(cgm.ct_gate.state_dict())
    there, back = cgm(ct, pet), cgm(pet, ct)
    assert torch.equal(there[0], back[1])
    assert torch.equal(there[1], back[0])


def test_the_gates_share_no_weights() -> None:
    cgm, (ct, pet) = seeded(), maps()
    before = cgm(ct, pet)
    nn.init.constant_(cgm.ct_gate.get_parameter("channel.3.bias"), 5)
    after = cgm(ct, pet)
    assert torch.equal(after[1], before[1])
    assert not torch.equal(after[0], before[0])


def test_the_gates_gelu_is_the_exact_one() -> None:
    """At 1 it is Phi(1) = 0.841345; the tanh form gives 0.841192."""
    gelu = seeded().get_submodule("ct_gate.channel.2")
    assert float(gelu(torch.ones(1))) == pytest.approx(0.841345, abs=1e-5)


def test_batch_norm_is_that_of_the_official_code() -> None:
    norms = [module for module in seeded(norm=nn.BatchNorm2d).modules() if isinstance(module, nn.BatchNorm2d)]
    assert [(norm.num_features, norm.eps, norm.momentum) for norm in norms] == [(32, 1e-5, 0.1)] * 2


def test_a_batch_of_one_trains_with_group_norm_and_not_with_batch_norm() -> None:
    pair = maps(batch=1)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        seeded(norm=nn.BatchNorm2d).train()(*pair)
    assert all(torch.isfinite(found).all() for found in seeded().train()(*pair))


def test_a_case_does_not_depend_on_its_batch_with_group_norm() -> None:
    cgm, (ct, pet) = seeded().train(), maps()
    torch.testing.assert_close(cgm(ct, pet)[0][:1], cgm(ct[:1], pet[:1])[0])


@NORMS
@pytest.mark.parametrize("constant", ["ct", "pet"])
def test_a_constant_map_stays_finite(norm: Callable[[int], nn.Module], constant: str) -> None:
    cgm, (ct, pet) = seeded(norm=norm).train(), maps()
    flat = torch.full_like(ct, -1.6)
    gated = cgm(flat, pet) if constant == "ct" else cgm(ct, flat)
    (gated[0] + gated[1]).square().sum().backward()
    assert all(torch.isfinite(found).all() for found in gated)
    assert all(torch.isfinite(gradient(p)).all() for p in cgm.parameters())


@NORMS
def test_every_tensor_learns(norm: Callable[[int], nn.Module]) -> None:
    cgm = seeded(norm=norm).train()
    ct, pet = cgm(*maps(batch=4))
    (ct + pet).square().sum().backward()
    assert [name for name, p in cgm.named_parameters() if not gradient(p).any()] == []
