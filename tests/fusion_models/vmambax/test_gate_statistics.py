"""Gate statistics against gates whose values one knows by hand."""

import pytest
import torch
from torch import Tensor, nn

from fusion_models.adapters.injection import inject, lora_config
from fusion_models.vmambax.cgm import Cgm, ContextGate
from fusion_models.vmambax.gate_statistics import GateStatistics
from fusion_models.vmambax.norms import group_norm
from tests.support.smallest_models import built, inputs

WIDTH = 4


class TwoStages(nn.Module):
    """Two CGMs in a row behind a projection; with one modality absent the gates are not used."""

    def __init__(self) -> None:
        super().__init__()
        self.projection = nn.Linear(3, 3)
        self.cgms = nn.ModuleList([Cgm(WIDTH, norm=group_norm) for _ in range(2)])

    def forward(self, ct: Tensor | None, pet: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        if ct is None or pet is None:
            return ct, pet
        ct = self.projection(ct)
        for cgm in self.cgms:
            ct, pet = cgm(ct, pet)
        return ct, pet


def maps(batch: int = 2, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, WIDTH, 3, 3, generator=generator), torch.randn(batch, WIDTH, 3, 3, generator=generator)


def fix(gate: ContextGate, *logits: float) -> None:
    """G of channel k becomes sigmoid(logits[k]) / 2 at each position, whatever the maps."""
    nn.init.zeros_(gate.get_parameter("channel.3.weight"))
    gate.get_parameter("channel.3.bias").data = torch.tensor(logits, dtype=torch.float32)
    nn.init.zeros_(gate.spatial.weight)


def observed(model: nn.Module, ct: Tensor | None, pet: Tensor | None) -> dict[str, float]:
    """The summary of one pass."""
    with torch.no_grad(), GateStatistics().observe(model) as statistics:
        model(ct, pet)
    return statistics.summary()


@pytest.fixture
def model() -> TwoStages:
    """First stage: CT open in half of its channels, PET shut; second stage: CT undecided, PET open."""
    model = TwoStages()
    first, second = (cgm for cgm in model.cgms if isinstance(cgm, Cgm))
    fix(first.ct_gate, 40, 40, -40, -40)
    fix(first.pet_gate, -40, -40, -40, -40)
    fix(second.ct_gate, 0, 0, 0, 0)
    fix(second.pet_gate, 40, 40, 40, 40)
    return model


def test_each_stage_and_modality_has_its_mean_spread_and_saturated_share(model: TwoStages) -> None:
    """Half of the values 0.5 and half 0: mean 0.25, spread 0.25, half of them below 0.05."""
    assert observed(model, *maps()) == pytest.approx(
        {
            "gate/0/ct/mean": 0.25,
            "gate/0/ct/std": 0.25,
            "gate/0/ct/saturated": 0.5,
            "gate/0/pet/mean": 0,
            "gate/0/pet/std": 0,
            "gate/0/pet/saturated": 1,
            "gate/1/ct/mean": 0.25,
            "gate/1/ct/std": 0,
            "gate/1/ct/saturated": 0,
            "gate/1/pet/mean": 0.5,
            "gate/1/pet/std": 0,
            "gate/1/pet/saturated": 0,
        }
    )


def test_values_above_the_upper_limit_are_saturated_too(model: TwoStages) -> None:
    """A spatial logit of 40 at the centre tap of a positive map opens both factors: G = 1."""
    gate = model.get_submodule("cgms.0").get_submodule("ct_gate")
    gate.get_parameter("spatial.weight").data[0, 0, 1, 1] = 40
    ct, pet = maps()
    found = observed(model, ct, pet.abs() + 1)
    assert (found["gate/0/ct/mean"], found["gate/0/ct/saturated"]) == pytest.approx((0.5, 1))


def test_several_cases_are_one_population() -> None:
    """Two passes of 1 and 3 cases: the same as one pass of the 4."""
    model, (ct, pet), statistics = TwoStages(), maps(4), GateStatistics()
    with torch.no_grad(), statistics.observe(model):
        model(ct[:1], pet[:1])
        model(ct[1:], pet[1:])
    assert statistics.summary() == pytest.approx(observed(model, ct, pet), abs=1e-6)


def test_the_numbers_are_those_of_the_gate_itself() -> None:
    cgm, (ct, pet) = Cgm(WIDTH, norm=group_norm), maps()
    gate = cgm.pet_gate(ct, pet).detach().double()
    found = observed(cgm, ct, pet)
    assert found["gate/0/pet/mean"] == pytest.approx(float(gate.mean()))
    assert found["gate/0/pet/std"] == pytest.approx(float(gate.std(correction=0)), rel=1e-6)


def test_the_spread_of_a_constant_gate_is_zero_not_undefined() -> None:
    """Mean square less squared mean of one value over and over rounds below zero for some values, 1.8 among them."""
    cgm, pair = Cgm(WIDTH, norm=group_norm), maps(5)
    for tenths in range(40):
        fix(cgm.ct_gate, *[tenths / 10] * WIDTH)
        spread = observed(cgm, *pair)["gate/0/ct/std"]
        assert isinstance(spread, float)
        assert spread == pytest.approx(0, abs=1e-7)


def test_nothing_is_counted_outside_and_no_hook_stays(model: TwoStages) -> None:
    statistics = GateStatistics()
    with statistics.observe(model):
        model(*maps())
    before = statistics.summary()
    model(*maps(3))
    assert statistics.summary() == before
    assert all(not module._forward_hooks for module in model.modules())


def test_no_hook_stays_after_an_error(model: TwoStages) -> None:
    with pytest.raises(RuntimeError, match="must match"):
        observed(model, maps()[0], maps()[1][:1])
    assert all(not module._forward_hooks for module in model.modules())


def test_a_model_without_gates_has_no_statistics() -> None:
    assert observed(nn.Bilinear(2, 2, 1), torch.zeros(1, 2), torch.zeros(1, 2)) == {}


@pytest.mark.parametrize("absent", ["ct", "pet"])
def test_gates_that_were_not_used_are_left_out(model: TwoStages, absent: str) -> None:
    ct, pet = maps()
    assert observed(model, None if absent == "ct" else ct, None if absent == "pet" else pet) == {}


def test_adapters_do_not_hide_the_gates(model: TwoStages) -> None:
    inject(model, lora_config(method="lora", rank=1, alpha=1, targets=("projection",)), seed=0)
    assert len(observed(model, *maps())) == 12


def test_the_gates_of_an_identity_are_the_fusions_and_not_those_that_open_it() -> None:
    """Two stages of CGM with a gate each of CT and PET, three figures a gate; what opens an identity is a parameter."""
    model = built("vmambax-tiny", pathway="identity").eval()
    found = observed(model, *inputs("vmambax-tiny", "ct+pet")[:2])
    assert {key.rpartition("/")[0] for key in found} == {f"gate/{s}/{m}" for s in (0, 1) for m in ("ct", "pet")}
