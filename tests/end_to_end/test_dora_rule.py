"""The DoRA rule on peft's own layers: mean of the centers' outputs = output of the layer that holds the result."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import peft
import pytest
import torch

from protocol.messages.payload import Payload
from protocol.messages.settings import Role
from tests.support.drawn_adapters import A, B, Drawn, M, distance, in_float64

PHASE_B: tuple[Role, ...] = ("lora_b", "magnitude")
PHASE_A: tuple[Role, ...] = ("lora_a",)
Tensors = Mapping[str, np.ndarray]


def peft_layer(make: Callable[..., torch.nn.Module], *sizes: int) -> Any:
    torch.manual_seed(0)
    inner = torch.nn.Sequential(make(*sizes))
    config = peft.LoraConfig(r=3, lora_alpha=6, target_modules=["0"], use_dora=True)
    return peft.get_peft_model(inner.double(), config).double().base_model.model[0]


def parts(layer: Any) -> dict[str, torch.nn.Parameter]:
    magnitude = layer.lora_magnitude_vector["default"].weight
    return {A: layer.lora_A["default"].weight, B: layer.lora_B["default"].weight, M: magnitude}


def load(layer: Any, tensors: Tensors) -> None:
    with torch.no_grad():
        for key, parameter in parts(layer).items():
            parameter.copy_(torch.as_tensor(tensors[key]).reshape(parameter.shape))


CASES = [
    pytest.param(torch.nn.Linear, (5, 4), (7, 5), id="linear"),
    pytest.param(torch.nn.Conv3d, (2, 4, 3), (2, 2, 5, 5, 5), id="conv3d"),
]


@pytest.mark.parametrize(("make", "sizes", "inputs"), CASES)
@pytest.mark.parametrize("roles", [PHASE_B, PHASE_A], ids=["phase-b", "phase-a"])
def test_dora_on_pefts_own_layers(
    make: Callable[..., torch.nn.Module], sizes: tuple[int, ...], inputs: tuple[int, ...], roles: tuple[Role, ...]
) -> None:
    """The mean of the centers' layer outputs is the output of the layer that holds the result; naive means are off."""
    layer = peft_layer(make, *sizes)
    rng = np.random.default_rng(2)
    shared = {key: rng.normal(size=tuple(parameter.shape)) for key, parameter in parts(layer).items()}
    shared[M] = np.abs(shared[M]) + 0.5
    adapter = Drawn(layer.base_layer.weight.detach().numpy(), shared, [5, 60, 11], 3, alpha=6.0)
    payloads = adapter.payloads(*roles)
    x = torch.as_tensor(rng.normal(size=inputs))

    def output(tensors: Tensors) -> np.ndarray:
        load(layer, tensors)
        return np.asarray(layer(x).detach().numpy())

    weights = [payload.support["peft"] ** 0.5 for payload in payloads]
    expected = np.average([output(at_work(adapter, payload)) for payload in payloads], axis=0, weights=weights)
    naive = {
        key: np.average([at_work(adapter, payload)[key] for payload in payloads], axis=0, weights=weights)
        for key in shared
    }
    assert distance(output(in_float64(adapter, payloads, adapter.base(*roles))), expected) < 1e-10
    assert distance(output(naive), expected) > 1e-3


def at_work(adapter: Drawn, payload: Payload) -> dict[str, np.ndarray]:
    """What a center has loaded after training: in phase A its magnitudes followed, so that the gains stayed."""
    whole = {**adapter.shared, **payload.tensors}
    if M not in payload.tensors:
        norms = np.linalg.norm(adapter.weight_of(payload.tensors), axis=1)
        whole[M] = norms.reshape(adapter.shared[M].shape)
    return whole
