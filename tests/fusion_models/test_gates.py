"""Gates and gains: closed they pass nothing, and they can open."""

from typing import Any

import pytest
import torch

from fusion_models.adapters.keys import parameters_by_key
from fusion_models.gates import Gain, Gate
from fusion_models.registry import MODELS
from protocol.local_steps import GATES, is_gate
from tests.support.smallest_models import SMALLEST, built

CLOSED, OPENED = torch.full((1, 2, 3), 4.0), torch.full((1, 2, 3), 10.0)


def test_a_gate_stands_between_closed_and_open_by_the_channel() -> None:
    """4 where it is closed; 4 + (10 - 4) / 2 = 7 half open."""
    gate = Gate(2, 0.0)
    with torch.no_grad():
        gate.gate[1] = 0.5
    assert gate(CLOSED, OPENED)[0].tolist() == [[4.0] * 3, [7.0] * 3]


def test_a_closed_gate_has_the_whole_gradient() -> None:
    """Three positions, each of which would grow by 10 - 4."""
    gate = Gate(2, 0.0)
    gate(CLOSED, OPENED).sum().backward()
    assert gate.gate.grad is not None
    assert gate.gate.grad.tolist() == [18.0, 18.0]


@pytest.mark.parametrize("opening", [0.0, 1.0])
def test_shut_and_wide_open_are_exact(opening: float) -> None:
    closed, opened = torch.randn(2, 4, 5, 6), torch.randn(2, 4, 5, 6)
    assert torch.equal(Gate(4, opening)(closed, opened), (closed, opened)[int(opening)])


@pytest.mark.parametrize(("axis", "expected"), [(1, [[0.0, 0.0], [2.0, 2.0]]), (-1, [[0.0, 2.0], [0.0, 2.0]])])
def test_a_gain_counts_the_channels_of_its_axis(axis: int, expected: list[list[float]]) -> None:
    gain = Gain(2, 0.0, axis=axis)
    with torch.no_grad():
        gain.gain[1] = 2.0
    assert gain(torch.ones(1, 2, 2))[0].tolist() == expected


def test_coordinator_and_center_count_the_same_tensors_as_gates() -> None:
    """The reach of a round is told by the names of gates in the protocol, which knows no networks."""
    found = {key for module in (Gate(1, 0.0), Gain(1, 0.0)) for key, _ in module.named_parameters()}
    assert found == set(GATES)


@pytest.mark.parametrize("name", SMALLEST)
def test_the_published_networks_have_none(name: str) -> None:
    options: dict[str, Any] = {"pathway": "published"} if "pathway" in MODELS[name].options else {}
    assert not [key for key in parameters_by_key(built(name, **options)) if is_gate(key)]
