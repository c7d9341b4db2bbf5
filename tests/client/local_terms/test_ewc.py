"""Elastic weight consolidation: distances weighed by the Fisher."""

import pytest
import torch

from client.local_terms.contract import LocalTerm
from client.local_terms.ewc import build
from protocol.errors import ModelError
from tests.support.local_round import Pair, around, array, penalty
from tests.support.segmentation_task import batch


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


def step(term: LocalTerm | None, model: Pair, gradient: tuple[float, float]) -> "list[float]":
    """The gradient of w after a step whose loss alone gives `gradient`."""
    assert term is not None
    term.remember(batch())
    model.zero_grad()
    (model.w * torch.tensor(gradient)).sum().backward()
    penalty(term).backward()
    term.adjust_gradients()
    assert model.w.grad is not None
    return model.w.grad.tolist()


def test_a_fisher_that_gradients_here_allow_acts_whole() -> None:
    """F = (2, 1), w - w* = (1, 2): 2 and 2 are added to (3, 4), whose squares sum to 25."""
    model = Pair()
    term = build(around(model, {"w@fisher": array(2, 1)}, {"w": array(0, 0)}), 1)
    assert step(term, model, (3, 4)) == [5, 6]


@pytest.mark.parametrize(("mass", "added"), [(None, 250.0), (2.0, 500.0)])
def test_a_fisher_beyond_what_gradients_here_allow_is_scaled_down(mass: float | None, added: float) -> None:
    """F = (1e20, 1e20): the sum becomes 10 * 2 * 25 = 500 at a batch of 2, twice that for two stages' worth."""
    model = Pair()
    masses = {} if mass is None else {"w@fisher-mass": array(mass)}
    term = build(around(model, {"w@fisher": array(1e20, 1e20), **masses}, {"w": array(0, 0)}), 1)
    assert step(term, model, (3, 4)) == pytest.approx([3 + added, 4 + 2 * added])


def test_the_largest_gradient_of_the_round_counts() -> None:
    """Squares of 25, then of 1: the limit stays."""
    model = Pair()
    term = build(around(model, {"w@fisher": array(1e20, 1e20)}, {"w": array(0, 0)}), 1)
    step(term, model, (3, 4))
    assert step(term, model, (0, 1)) == pytest.approx([250, 501])
