"""FLoRA: all of the mean product in the residual."""

import numpy as np
import pytest

from strategies.aggregation import flora
from strategies.aggregation.linear_form import flat
from tests.support.adapted_module import (
    RESIDUAL_A,
    RESIDUAL_B,
    A,
    B,
    base_of,
    sent_by,
    tensor,
)


def test_flora_two_centers_by_hand() -> None:
    """The centers of the FedEx example: M = I goes to the residual whole, B is zero, A is fresh within 1 / sqrt k."""
    base = base_of(np.zeros((2, 2)), 1, 1.0)
    shared = {A: tensor([1, 0]), B: tensor([0], [0])}
    payloads = [
        sent_by("a", {A: tensor([1, 0]), B: tensor([2], [0])}),
        sent_by("b", {A: tensor([0, 1]), B: tensor([0], [2])}),
    ]
    result = flora.aggregate(shared, payloads, base, {}).shared
    assert flat(result[RESIDUAL_B]) @ flat(result[RESIDUAL_A]) == pytest.approx(np.eye(2), abs=1e-6)
    assert result[B].tolist() == [[0], [0]]
    assert 0 < np.max(np.abs(result[A])) <= 2**-0.5
    assert result[A].tolist() == flora.aggregate(shared, payloads, base, {}).shared[A].tolist()
