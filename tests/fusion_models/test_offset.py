"""A module with another's weights on top of its own."""

import peft
import pytest
import torch
from torch import Tensor, nn

from fusion_models.adapters.injection import inject, lora_config
from fusion_models.offset import shift, zero


def linear(weight: float, bias: float) -> nn.Linear:
    layer = nn.Linear(1, 1)
    nn.init.constant_(layer.weight, weight)
    nn.init.constant_(layer.bias, bias)
    return layer


def test_weights_are_added_and_neither_module_changes() -> None:
    """(2 + 3) 10 + (1 + 4) = 55."""
    base, offset = linear(2, 1), linear(3, 4)
    assert shift(base, offset, torch.tensor([[10.0]])).item() == 55
    assert (base.weight.item(), offset.weight.item()) == (2, 3)


def test_behind_a_nonlinearity_it_is_the_sum_of_weights_not_of_answers() -> None:
    """relu(-1 + 3) = 2, where relu(-1) + relu(3) = 3."""
    base, offset = nn.Sequential(linear(-1, 0), nn.ReLU()), nn.Sequential(linear(3, 0), nn.ReLU())
    assert shift(base, offset, torch.ones(1, 1)).item() == 2


def test_a_zero_offset_is_the_module_bit_for_bit_and_has_its_gradient() -> None:
    base = nn.Sequential(nn.Conv3d(1, 3, 3, padding=1), nn.InstanceNorm3d(3, affine=True), nn.Conv3d(3, 2, 1))
    offset = zero(nn.Sequential(nn.Conv3d(1, 3, 3, padding=1), nn.InstanceNorm3d(3, affine=True), nn.Conv3d(3, 2, 1)))
    x = torch.randn(1, 1, 4, 4, 4)
    found = shift(base, offset, x)
    assert torch.equal(found, base(x))
    found.square().sum().backward()
    for own, moved in zip(base.parameters(), offset.parameters(), strict=True):
        assert own.grad is not None
        assert moved.grad is not None
        assert torch.equal(own.grad, moved.grad)


def test_an_adapter_of_the_base_acts_on_it() -> None:
    """(1 + 2) 5 + B A 5 with B A = 7: 50."""
    base = inject(nn.Sequential(linear(1, 0)), lora_config(method="lora", rank=1, alpha=1, targets=("0",)), seed=0)
    with torch.no_grad():
        base.get_parameter("0.lora_A.default.weight").fill_(7)
        base.get_parameter("0.lora_B.default.weight").fill_(1)
    assert shift(base, nn.Sequential(linear(2, 0)), torch.tensor([[5.0]])).item() == 50


class Shifted(nn.Module):
    """A module of PET that is another's plus an offset."""

    def __init__(self) -> None:
        super().__init__()
        self.ct, self.pet, self.proj = linear(2, 1), linear(3, 4), linear(1, 0)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(shift(self.ct, self.pet, x))


def test_an_offset_that_peft_has_wrapped_is_the_one_that_it_saved() -> None:
    """(2 + 5) 10 + (1 + 4) = 75, where the original's 3 would give 55."""
    config = peft.LoraConfig(r=1, target_modules=["proj"], modules_to_save=["pet"])
    model = peft.get_peft_model(Shifted(), config)
    with torch.no_grad():
        model.get_submodule("base_model.model.pet.modules_to_save.default").get_parameter("weight").fill_(5)
    assert model(torch.tensor([[10.0]])).item() == 75


def test_an_offset_of_other_parameters_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the offset has parameters \['0.bias', '0.weight'\], none of Linear's own"):
        shift(linear(1, 0), nn.Sequential(linear(1, 0)), torch.ones(1, 1))
