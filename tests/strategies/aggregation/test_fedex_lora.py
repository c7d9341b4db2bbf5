"""FedEx-LoRA: mean factors, and what they miss in the residual."""

import numpy as np
import pytest

from strategies.aggregation import fedex_lora
from strategies.aggregation.linear_form import flat
from tests.support.adapted_module import (
    RESIDUAL_A,
    RESIDUAL_B,
    A,
    B,
    base_of,
    error,
    sent_by,
    tensor,
    weight_of,
    world,
)

SQUARE = (9, 9)


def test_fedex_two_centers_by_hand() -> None:
    """W0 = 0, alpha = r = 1, equal weights: B = (2, 0)', A = (1, 0) and B = (0, 2)', A = (0, 1).

    Abar = (.5, .5), Bbar = (1, 1)', product .5 everywhere; M = I; residual M - .5 = [[.5, -.5], [-.5, .5]].
    """
    base = base_of(np.zeros((2, 2)), 1, 1.0)
    shared = {A: tensor([1, 0]), B: tensor([0], [0])}
    payloads = [
        sent_by("a", {A: tensor([1, 0]), B: tensor([2], [0])}),
        sent_by("b", {A: tensor([0, 1]), B: tensor([0], [2])}),
    ]
    result = fedex_lora.aggregate(shared, payloads, base, {}).shared
    assert result[A].tolist() == [[0.5, 0.5]]
    assert result[B].tolist() == [[1], [1]]
    residual = flat(result[RESIDUAL_B]) @ flat(result[RESIDUAL_A])
    assert residual == pytest.approx(np.array([[0.5, -0.5], [-0.5, 0.5]]), abs=1e-6)


def test_fedex_adds_the_residual_as_it_is_and_weighted() -> None:
    """A square module, where a transposed residual has the right shape and the wrong values; unequal case counts."""
    case = world(9, SQUARE, 2, (2, 2, 2), dora=False, residual=0)
    result = fedex_lora.aggregate(case.shared, case.payloads, case.base, {}).shared
    mean = case.mean_weight()
    residual = flat(result[RESIDUAL_B]) @ flat(result[RESIDUAL_A])
    found = weight_of(result, case.base)
    assert error(found, mean) < 1e-5
    assert error(found - residual + residual.T, mean) > 1e-2
    ends = [weight_of(payload.tensors, case.base) for payload in case.payloads]
    assert error(np.mean(ends, axis=0), mean) > 1e-2
