"""Three adapters of one layer: what they compute together, and what is frozen from the start."""

import pytest
import torch
from torch import Tensor, nn

from fusion_models.adapters.injection import adapter_layers, inject, inject_beside, lay_out, load, lora_config
from tests.support.smallest_models import built
from tests.support.three_adapters import ALPHA, RANK, Net, dense, net, product, tensors_of


def effective(model: nn.Module) -> Tensor:
    """diag(d) W0 + C + s diag(d) B A + B_c A_c by the formula, from the tensors that travel."""
    found = tensors_of(model)
    shared = found[".weight"].flatten(1) + ALPHA / RANK * product(found, "lora")
    if "#magnitude" in found:
        shared = (found["#magnitude"].flatten() / shared.norm(dim=1))[:, None] * shared
    return (shared + product(found, "residual") + product(found, "center")).reshape(found[".weight"].shape)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("method", ["lora", "dora"])
@pytest.mark.parametrize("kind", ["linear", "conv"])
def test_three_adapters_add_up_to_the_effective_weight(
    kind: str, method: str, dtype: torch.dtype, tolerance: float
) -> None:
    model, x = net(kind, method, dtype=dtype)
    assert tensors_of(model)["#residual_a"].shape[0] == 3
    with torch.no_grad():
        expected, found = dense(model, effective(model), x), model(x)
    assert found.dtype == dtype
    assert float((found - expected).norm() / expected.norm()) < tolerance


@pytest.mark.parametrize("kind", ["linear", "conv"])
def test_another_order_would_let_dora_rescale_the_residual(kind: str) -> None:
    """The guard of the test above: the order of the adapters is what makes the formula hold."""
    model, x = net(kind, "dora")
    adapter_layers(model)["proj"].set_adapter(["residual", "center", "default"])
    with torch.no_grad():
        expected, found = dense(model, effective(model), x), model(x)
    assert float((found - expected).norm() / expected.norm()) > 0.05


def test_shapes_are_those_that_travel() -> None:
    linear, conv = (tensors_of(net(kind, "dora")[0]) for kind in ("linear", "conv"))
    assert {key: tuple(p.shape) for key, p in linear.items() if "#" in key} == {
        "#lora_a": (2, 5),
        "#lora_b": (3, 2),
        "#magnitude": (3,),
        "#center_a": (1, 5),
        "#center_b": (3, 1),
        "#residual_a": (3, 5),
        "#residual_b": (3, 3),
    }
    assert tuple(conv["#residual_a"].shape) == (3, 2, 2, 2, 2)
    assert tuple(conv["#residual_b"].shape) == (3, 3, 1, 1, 1)
    assert tuple(conv["#magnitude"].shape) == (1, 3, 1, 1, 1)


def test_a_fresh_center_adapter_has_b_zero_and_an_a_of_its_seed() -> None:
    made = []
    for seed in (7, 7, 8):
        model = Net(nn.Linear(5, 3))
        inject(model, lora_config(method="lora", rank=RANK, alpha=ALPHA, targets=("proj",)), seed=7)
        inject_beside(model, "center", {"proj": RANK}, seed=seed)
        made.append(tensors_of(model))
    first, again, other = made
    assert torch.equal(first["#center_a"], again["#center_a"])
    assert not torch.equal(first["#center_a"], other["#center_a"])
    assert not first["#center_b"].any()
    assert torch.equal(first["#lora_a"], other["#lora_a"])


def test_an_adapter_beside_nothing_is_refused() -> None:
    model, _ = net("linear", "lora", beside=False)
    with pytest.raises(ValueError, match=r"module 'other' has a 'residual' adapter but no shared one"):
        inject_beside(model, "residual", {"other": 2}, seed=0)
    assert set(adapter_layers(model)) == {"proj"}


def test_a_residual_is_frozen_from_the_start() -> None:
    found = tensors_of(net("linear", "lora")[0])
    assert not found["#residual_a"].requires_grad
    assert not found["#residual_b"].requires_grad
    assert found["#center_a"].requires_grad


@pytest.mark.parametrize("method", ["lora", "dora"])
def test_an_adapted_convolution_computes_the_same_in_channels_last(method: str) -> None:
    """In that layout peft's DoRA cannot view A as a matrix, and says so only once a batch comes."""
    model, x = net("conv", method, dtype=torch.float64)
    expected = model(x)
    torch.testing.assert_close(lay_out(model, torch.channels_last_3d)(x), expected)
    torch.testing.assert_close(lay_out(model, torch.contiguous_format)(x), expected)


def test_without_targets_nothing_is_wrapped() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    inject(model, lora_config(method="lora", rank=1, alpha=1, targets=()), seed=0)
    assert not adapter_layers(model)


def test_a_target_that_matches_nothing_is_refused() -> None:
    model = built("pemma-unetr-tiny")
    with pytest.raises(ValueError, match=r"target 'attn.proj' matches no module"):
        inject(model, lora_config(method="lora", rank=2, alpha=4, targets=("attn.proj",)), seed=0)


def test_a_tensor_that_does_not_fit_is_refused() -> None:
    model = built("pemma-unetr-tiny")
    with pytest.raises(ValueError, match="belongs to no parameter"):
        load(model, {"nowhere.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"has shape \(1,\), expected \(24,\)"):
        load(model, {"vit.norm.weight": torch.zeros(1)})


def test_a_spared_part_carries_none_though_its_path_ends_in_an_adapted_one() -> None:
    inside = nn.Module()
    inside.add_module("proj", nn.Linear(2, 2))
    model = nn.Module()
    model.add_module("proj", nn.Linear(2, 2))
    model.add_module("pathway", inside)
    inject(model, lora_config(method="lora", rank=1, alpha=1, targets=["proj"]), seed=0, spared=["pathway"])
    assert set(adapter_layers(model)) == {"proj"}
