"""The row gain that a phase holds still."""

import numpy as np
import pytest
import torch
from torch import nn

from client.learning.trainable import train_only
from fusion_models.adapters.gain import gain_of, pin_gain, row_norms
from fusion_models.adapters.injection import adapter_layers, inject, lora_config
from protocol.messages.settings import ROLES
from tests.support.three_adapters import ALPHA, RANK, Net, dense, net, product, tensors_of


@pytest.mark.parametrize("role", ["lora_a", "lora_b"])
@pytest.mark.parametrize("kind", ["linear", "conv"])
def test_with_a_pinned_gain_the_gradients_are_those_of_the_linear_coordinates(kind: str, role: str) -> None:
    """Three steps of gradient descent on W = diag(d) W0 + C + s diag(d) B A + B_c A_c, dense, with d constant."""
    model, x = net(kind, "dora")
    train_only(model, ("peft",), {}, (role,))
    pinned, layer = pin_gain(model), adapter_layers(model)["proj"]
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
    pinned, layer = pin_gain(model), adapter_layers(model)["proj"]
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
    pinned = pin_gain(model)
    before = {key: p.detach().clone() for key, p in tensors_of(model).items()}
    with torch.no_grad():
        tensors_of(model)["#lora_a"].add_(1)
    pinned.restore()
    moved = {key for key, p in tensors_of(model).items() if not torch.equal(p, before[key])}
    assert moved == {"#lora_a"}
