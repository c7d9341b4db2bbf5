"""Elastic weight consolidation: distances weighed by the Fisher."""

import pytest

from client.local_terms.ewc import build
from protocol.errors import ModelError
from tests.support.local_round import Pair, around, array, penalty


def test_ewc_weighs_the_squared_distance_by_the_fisher() -> None:
    """w = (1, 2), w* = (0, 0), F = (2, 1), lambda 3: 1.5 * (2 * 1 + 1 * 4) = 9; v has no Fisher and is left out."""
    model = Pair()
    term = build(around(model, {"w@fisher": array(2, 1)}, {"w": array(0, 0), "v": array(0)}), 3)
    loss = penalty(term)
    loss.backward()
    assert loss.item() == pytest.approx(9)
    assert model.w.grad is not None
    assert model.w.grad.tolist() == pytest.approx([6, 6])
    assert model.v.grad is None


def test_ewc_leaves_frozen_tensors_out_and_is_absent_without_any() -> None:
    assert build(around(Pair(), {"frozen@fisher": array(1)}, {"frozen": array(0)}), 1) is None


def test_a_fisher_without_a_reference_or_of_another_shape_is_refused() -> None:
    with pytest.raises(ModelError, match="tensor 'w' came with a Fisher but without a reference value"):
        build(around(Pair(), {"w@fisher": array(1, 1)}), 1)
    with pytest.raises(ModelError, match=r"tensor 'w' has shape \(2,\), its Fisher \(2,\), its reference \(1,\)"):
        build(around(Pair(), {"w@fisher": array(1, 1)}, {"w": array(1)}), 1)
