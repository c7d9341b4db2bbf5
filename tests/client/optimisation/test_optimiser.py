"""The optimiser of a round, on parameters whose gradients are set by hand."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from client.optimisation.optimiser import Optimiser
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
