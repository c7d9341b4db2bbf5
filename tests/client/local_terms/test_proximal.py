"""FedProx: the pull towards what was received."""

import pytest
import torch

from client.local_terms.proximal import build
from tests.support.local_round import Pair, around, penalty


def test_fedprox_pulls_by_half_mu_times_the_squared_distance() -> None:
    """w moved by (1, -1) and v by 2: 0.5 * 0.1 * (1 + 1 + 4) = 0.3; the gradient is mu times the distance."""
    model = Pair()
    term = build(around(model), 0.1)
    with torch.no_grad():
        model.w.add_(torch.tensor([1.0, -1.0]))
        model.v.add_(2)
    loss = penalty(term)
    loss.backward()
    assert loss.item() == pytest.approx(0.3)
    assert model.w.grad is not None
    assert model.w.grad.tolist() == pytest.approx([0.1, -0.1])


def test_fedprox_is_zero_at_the_received_values_and_never_sees_the_frozen() -> None:
    model = Pair()
    term = build(around(model), 0.1)
    with torch.no_grad():
        model.frozen.add_(7)
    assert penalty(term).item() == 0.0
