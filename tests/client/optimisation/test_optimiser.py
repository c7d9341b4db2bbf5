"""The optimiser of a round, on parameters whose gradients are set by hand."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from client.optimisation.moments import FRESH, Moment, Moments
from client.optimisation.optimiser import Optimiser
from protocol.errors import ModelError
from tests.support.small_training import stage


def test_a_step_is_as_long_as_its_rate_which_warms_up_over_five() -> None:
    """A constant gradient moves AdamW by the rate: fifths of 0.1, then 0.1."""
    weight, places = nn.Parameter(torch.zeros(1)), [0.0]
    optimiser = Optimiser({"weight": weight}, stage(learning_rate=0.1, weight_decay=0))
    for number in range(6):
        optimiser.begin_step(number)
        weight.grad = torch.ones(1)
        optimiser.move()
        places.append(weight.item())
    steps = [before - after for before, after in pairwise(places)]
    assert steps == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1, 0.1], rel=1e-5)


def test_a_step_begins_without_gradients() -> None:
    weight, other = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    optimiser = Optimiser({"weight": weight, "other": other}, stage())
    weight.grad = torch.ones(1)
    assert [parameter is other for parameter in optimiser.idle()] == [True]
    optimiser.begin_step(0)
    assert len(optimiser.idle()) == 2


def stepped(gradients: dict[str, list[float]], **recipe: float) -> dict[str, list[float]]:
    """What the gradients are when the first step is taken, and the parameters after it as `key'`."""
    parameters = {key: nn.Parameter(torch.zeros(len(values))) for key, values in gradients.items()}
    optimiser = Optimiser(parameters, stage(learning_rate=0.1, weight_decay=0, recipe=recipe))
    optimiser.begin_step(0)
    for key, values in gradients.items():
        parameters[key].grad = torch.tensor(values)
    optimiser.move()
    found = {key: parameter.grad.tolist() for key, parameter in parameters.items() if parameter.grad is not None}
    return found | {f"{key}'": parameter.tolist() for key, parameter in parameters.items()}


def test_a_gradient_that_is_too_long_is_shortened_over_all_tensors_together() -> None:
    """(3, 0) and 4 have length 5; cut to 1 they are (0.6, 0) and 0.8."""
    found = stepped({"a": [3.0, 0.0], "b": [4.0]}, clip_norm=1)
    assert found["a"] == pytest.approx([0.6, 0.0], rel=1e-5)
    assert found["b"] == pytest.approx([0.8], rel=1e-5)


@pytest.mark.parametrize("clip_norm", [0, 5.1])
def test_a_gradient_that_is_short_enough_or_that_nobody_clips_stays(clip_norm: float) -> None:
    found = stepped({"a": [3.0, 0.0], "b": [4.0]}, clip_norm=clip_norm)
    assert (found["a"], found["b"]) == ([3.0, 0.0], [4.0])


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_gradient_without_a_length_stops_where_it_is_to_be_clipped(value: float) -> None:
    with pytest.raises(ModelError, match=r"the gradient of a step has length (inf|nan); lower the rate"):
        stepped({"a": [value], "b": [1.0]}, clip_norm=1)


def test_gates_and_gains_step_by_a_rate_of_their_own() -> None:
    """A first step is a fifth of the rate 0.1; of a gate ten times that."""
    found = stepped({"pet_skip.gain": [1.0], "layer.0.gate": [1.0], "ct_gate.weight": [1.0]}, gate_rate=10)
    after = {key: found[f"{key}'"][0] for key in ("pet_skip.gain", "layer.0.gate", "ct_gate.weight")}
    assert after == pytest.approx({"pet_skip.gain": -0.2, "layer.0.gate": -0.2, "ct_gate.weight": -0.02}, rel=1e-4)


def descend(parameters: dict[str, nn.Parameter], moments: Moments, seed: int) -> dict[str, Moment]:
    """Seven steps, by drawn gradients, in two groups of rates; the gain misses every other step."""
    optimiser = Optimiser(parameters, stage(recipe={"gate_rate": 3.0}), moments)
    for number in range(7):
        optimiser.begin_step(number)
        drawn = torch.Generator().manual_seed(100 * seed + number)
        for key, parameter in parameters.items():
            if key != "gain" or number % 2:
                parameter.grad = torch.randn(parameter.shape, generator=drawn)
        optimiser.move()
    return optimiser.moments()


def drawn_parameters() -> dict[str, nn.Parameter]:
    drawn = torch.Generator().manual_seed(0)
    return {key: nn.Parameter(torch.randn(size, generator=drawn)) for key, size in (("gain", 2), ("b", 3), ("c", 4))}


def test_moments_that_go_on_are_those_of_one_long_round() -> None:
    """Two rounds, with what the first one left, against torch's AdamW over both, whose warm-up begins anew."""
    ours, theirs = drawn_parameters(), drawn_parameters()
    left = descend(ours, descend(ours, FRESH, 1), 2)
    plain = {key: torch.optim.AdamW([parameter], weight_decay=1e-5) for key, parameter in theirs.items()}
    for seed, number in ((seed, number) for seed in (1, 2) for number in range(7)):
        drawn = torch.Generator().manual_seed(100 * seed + number)
        for key, parameter in theirs.items():
            plain[key].param_groups[0]["lr"] = min(1, (number + 1) / 5) * 1e-2 * (3 if key == "gain" else 1)
            parameter.grad = torch.randn(parameter.shape, generator=drawn) if key != "gain" or number % 2 else None
            plain[key].step()
    for key in ours:
        np.testing.assert_allclose(ours[key].detach().numpy(), theirs[key].detach().numpy(), rtol=1e-6)
    assert {key: moment.steps for key, moment in left.items()} == {"gain": 6, "b": 14, "c": 14}


def test_a_tensor_without_moments_or_of_another_shape_starts_afresh() -> None:
    parameters = drawn_parameters()
    left = descend(parameters, FRESH, 1)
    again = descend({"b": nn.Parameter(torch.zeros(5)), "new": nn.Parameter(torch.zeros(1))}, left, 2)
    assert {key: moment.steps for key, moment in again.items()} == {"b": 7, "new": 7}
