"""Three adapters of one layer: what they compute together, what trains, and the row gain that a phase holds still."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fusion_models.adapters.gain import gain_of, pinned_gain, row_norms
from fusion_models.adapters.injection import adapted_layers, inject, inject_beside, lora_config
from fusion_models.adapters.keys import ROLE_GROUPS, group_of, key_of, parameters_by_key, train_only
from protocol.messages import tensors as contract
from protocol.messages.settings import ROLES

RANK, ALPHA = 2, 4
LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(5, 3), (4, 5)),
    "conv": (lambda: nn.Conv3d(2, 3, kernel_size=2, stride=1, padding=1), (1, 2, 4, 3, 3)),
}


class Net(nn.Module):
    """One projection that can be adapted, and one that is not a target."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.proj, self.other = layer, nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x)


def net(kind: str, method: str, *, beside: bool = True, dtype: torch.dtype = torch.float64) -> tuple[Net, Tensor]:
    """A network whose adapter tensors are all random, and an input."""
    torch.manual_seed(3)
    build, shape = LAYERS[kind]
    model = Net(build()).to(dtype)
    inject(model, lora_config(method=method, rank=RANK, alpha=ALPHA, targets=("proj",)), seed=0)
    if beside:
        inject_beside(model, "residual", {"proj": 3}, seed=2)
        inject_beside(model, "center", {"proj": 1}, seed=1)
    with torch.no_grad():
        for key, parameter in parameters_by_key(model).items():
            if "#" in key:
                parameter.copy_(torch.randn_like(parameter) + (2 if key.endswith("#magnitude") else 0))
    return model, torch.randn(shape, dtype=dtype)


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    return {key.removeprefix("proj"): parameter for key, parameter in parameters_by_key(model).items()}


def product(found: dict[str, Tensor], role: str) -> Tensor:
    """B A of one adapter, (d, k)."""
    return found[f"#{role}_b"].flatten(1) @ found[f"#{role}_a"].flatten(1)


def effective(model: nn.Module) -> Tensor:
    """diag(d) W0 + C + s diag(d) B A + B_c A_c by the formula, from the tensors that travel."""
    found = tensors_of(model)
    shared = found[".weight"].flatten(1) + ALPHA / RANK * product(found, "lora")
    if "#magnitude" in found:
        shared = (found["#magnitude"].flatten() / shared.norm(dim=1))[:, None] * shared
    return (shared + product(found, "residual") + product(found, "center")).reshape(found[".weight"].shape)


def dense(model: nn.Module, weight: Tensor, x: Tensor) -> Tensor:
    """The layer's answer with another weight and its own bias."""
    bias = tensors_of(model)[".bias"]
    if x.dim() == 2:
        return nn.functional.linear(x, weight, bias)
    return nn.functional.conv3d(x, weight, bias, padding=1)


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
    adapted_layers(model)["proj"].set_adapter(["residual", "center", "default"])
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
    assert set(adapted_layers(model)) == {"proj"}


def test_both_sides_agree_on_the_group_of_a_role() -> None:
    """The coordinator runs without torch, so the table stands twice; it must say the same."""
    assert dict(ROLE_GROUPS) == contract.ROLE_GROUPS
    assert set(ROLES) == {role for role, group in ROLE_GROUPS.items() if group == contract.PEFT}
    for role in ROLE_GROUPS:
        assert group_of(f"pet_embedding.proj#{role}", {"pet": ("pet_embedding",)}) == ROLE_GROUPS[role]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("a.qkv.lora_A.default.weight", "a.qkv#lora_a"),
        ("a.qkv.lora_B.center.weight", "a.qkv#center_b"),
        ("a.qkv.lora_magnitude_vector.default.weight", "a.qkv#magnitude"),
        ("a.qkv.base_layer.bias", "a.qkv.bias"),
        ("a.norm1.norm_bias", "a.norm1#norm_bias"),
        ("a.norm1.base_layer.weight", "a.norm1.weight"),
    ],
)
def test_a_parameter_travels_under_its_key(name: str, key: str) -> None:
    assert key_of(name) == key


@pytest.mark.parametrize(
    ("groups", "roles", "live"),
    [
        (("peft",), ("lora_b", "magnitude"), {"#lora_b", "#magnitude"}),
        (("peft",), ("lora_a",), {"#lora_a"}),
        (("peft",), ROLES, {"#lora_a", "#lora_b", "#magnitude"}),
        (("center",), (), {"#center_a", "#center_b"}),
        (("peft", "center"), ("lora_a",), {"#lora_a", "#center_a", "#center_b"}),
    ],
)
def test_a_phase_trains_its_roles_and_never_the_residual(
    groups: tuple[str, ...], roles: tuple[str, ...], live: set[str]
) -> None:
    model, x = net("linear", "dora")
    trained = train_only(model, groups, {}, roles)
    assert {key.removeprefix("proj") for key in trained} == live
    model(x).square().sum().backward()
    assert {key for key, p in tensors_of(model).items() if p.grad is not None and p.grad.any()} == live


def test_a_carry_is_frozen_from_the_start() -> None:
    found = tensors_of(net("linear", "lora")[0])
    assert not found["#residual_a"].requires_grad
    assert not found["#residual_b"].requires_grad
    assert found["#center_a"].requires_grad


@pytest.mark.parametrize("role", ["lora_a", "lora_b"])
@pytest.mark.parametrize("kind", ["linear", "conv"])
def test_with_a_pinned_gain_the_gradients_are_those_of_the_linear_coordinates(kind: str, role: str) -> None:
    """Three steps of gradient descent on W = diag(d) W0 + C + s diag(d) B A + B_c A_c, dense, with d constant."""
    model, x = net(kind, "dora")
    train_only(model, ("peft",), {}, (role,))
    pinned, layer = pinned_gain(model), adapted_layers(model)["proj"]
    gain = gain_of(layer).flatten()
    found = {key: p.detach().clone() for key, p in tensors_of(model).items()}
    live = found[f"#{role}"].requires_grad_()
    optimisers = [torch.optim.SGD(group, lr=0.01) for group in ([tensors_of(model)[f"#{role}"]], [live])]
    for _ in range(3):
        shared = gain[:, None] * (found[".weight"].flatten(1) + ALPHA / RANK * product(found, "lora"))
        weight = (shared + product(found, "residual") + product(found, "center")).reshape(found[".weight"].shape)
        for optimiser, answer in zip(optimisers, (model(x), dense(model, weight, x)), strict=True):
            optimiser.zero_grad()
            answer.square().sum().backward()
            optimiser.step()
        pinned.restore()
        torch.testing.assert_close(tensors_of(model)[f"#{role}"], live, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(gain_of(layer).flatten(), gain, rtol=1e-12, atol=0)


def test_a_pinned_gain_drifts_less_than_1e_5_in_50_steps_of_float32() -> None:
    model, x = net("conv", "dora", dtype=torch.float32)
    parameters = train_only(model, ("peft",), {}, ("lora_a",))
    pinned, layer = pinned_gain(model), adapted_layers(model)["proj"]
    before, norms = gain_of(layer), row_norms(layer)
    optimiser = torch.optim.AdamW(parameters.values(), lr=1e-2)
    for _ in range(50):
        optimiser.zero_grad()
        model(x).square().sum().backward()
        optimiser.step()
        pinned.restore()
    assert float((gain_of(layer) / before - 1).abs().max()) < 1e-5
    assert float((row_norms(layer) / norms - 1).abs().max()) > 0.05


def test_row_norms_are_those_of_the_directions() -> None:
    """W0 = I, s B A = 2 * [[1], [0]] [[0, 1]]: rows (1, 2) and (0, 1) of norms sqrt 5 and 1; m = (5, 3)."""
    model = Net(nn.Linear(2, 2, bias=False))
    inject(model, lora_config(method="dora", rank=1, alpha=2, targets=("proj",)), seed=0)
    values = {".weight": [[1.0, 0], [0, 1]], "#lora_a": [[0.0, 1]], "#lora_b": [[1.0], [0]], "#magnitude": [5.0, 3]}
    with torch.no_grad():
        for key, value in values.items():
            tensors_of(model)[key].copy_(torch.tensor(value))
    np.testing.assert_allclose(row_norms(model.proj), [np.sqrt(5), 1], rtol=1e-6)
    np.testing.assert_allclose(gain_of(model.proj), [np.sqrt(5), 3], rtol=1e-6)


@pytest.mark.parametrize(
    ("method", "roles"), [("dora", ROLES), ("dora", ("magnitude",)), ("dora", ()), ("lora", ("lora_a",))]
)
def test_a_magnitude_that_trains_or_does_not_exist_is_left_alone(method: str, roles: tuple[str, ...]) -> None:
    model, _ = net("linear", method)
    train_only(model, ("peft",), {}, roles)
    pinned = pinned_gain(model)
    before = {key: p.detach().clone() for key, p in tensors_of(model).items()}
    with torch.no_grad():
        tensors_of(model)["#lora_a"].add_(1)
    pinned.restore()
    moved = {key for key, p in tensors_of(model).items() if not torch.equal(p, before[key])}
    assert moved == {"#lora_a"}
