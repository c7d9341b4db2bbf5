"""SCAFFOLD: corrected gradients and the control variates that come of raw ones."""

import numpy as np
import pytest
import torch
from torch import nn

from client.local_terms.scaffold import Scaffold, build
from protocol.errors import ModelError
from tests.support.local_round import Arrays, Pair, around, array


def controlled(model: nn.Module, received: Arrays) -> Scaffold:
    term = build(around(model, received), 1)
    assert term is not None
    return term


def test_scaffold_adds_the_shared_control_and_takes_off_its_own() -> None:
    """g = (1, 1), c_i = (0.5, 0), c = (0.25, 2): g - c_i + c = (0.75, 3)."""
    model = Pair()
    received = {"w@control": array(0.5, 0), "w@shared-control": array(0.25, 2)}
    term = controlled(model, received)
    model.w.grad, model.v.grad = torch.ones(2), torch.ones(1)
    term.adjust_gradients()
    assert model.w.grad.tolist() == [0.75, 3.0]
    assert model.v.grad.tolist() == [1.0]


def test_scaffold_sends_the_mean_of_the_raw_gradients() -> None:
    """Raw gradients 1 and 3 give 2, whatever the correction added to them; v, never touched, keeps its 7."""
    model = Pair()
    term = controlled(model, {"w@control": array(9, 9), "v@control": array(7)})
    for value in (1.0, 3.0):
        model.w.grad = torch.full((2,), value)
        term.adjust_gradients()
    assert {key: found.tolist() for key, found in term.outcome().items()} == {
        "v@control": [7.0],
        "w@control": [2.0, 2.0],
    }


def test_a_step_that_leaves_a_tensor_alone_does_not_count_for_its_control() -> None:
    """v has a gradient in one of two steps: its control is 4, not 2, and it is not corrected in the other."""
    model = Pair()
    term = controlled(model, {"v@control": array(1)})
    model.w.grad, model.v.grad = torch.ones(2), torch.full((1,), 4.0)
    term.adjust_gradients()
    model.v.grad = None
    term.adjust_gradients()
    assert model.v.grad is None
    assert term.outcome()["v@control"].tolist() == [4.0]


def test_with_plain_sgd_the_new_control_is_option_two_of_the_paper() -> None:
    """c_i+ = c_i - c + (x_t - y) / (K eta), here after K = 3 steps of SGD on a quadratic."""
    model = Pair()
    own, shared = array(0.5, -0.25), array(0.125, 0.5)
    term = controlled(model, {"w@control": own, "w@shared-control": shared})
    optimiser = torch.optim.SGD([model.w], lr=0.1)
    start = model.w.detach().clone()
    for _ in range(3):
        optimiser.zero_grad()
        (model.w**2).sum().backward()
        term.adjust_gradients()
        optimiser.step()
    expected = own - shared + (start - model.w.detach()).numpy() / (3 * 0.1)
    np.testing.assert_allclose(term.outcome()["w@control"], expected, rtol=1e-5)


def test_a_control_of_another_shape_is_refused() -> None:
    with pytest.raises(ModelError, match=r"'w@control' has shape \(1,\), expected \(2,\)"):
        build(around(Pair(), {"w@control": array(1)}), 1)


def test_a_correction_is_at_most_twice_as_long_as_the_longest_raw_gradient() -> None:
    """Raw gradient (3, 4) of length 5, c = (1e20, 0): 10 are added to the first entry, also in a shorter step."""
    model = Pair()
    term = controlled(model, {"w@shared-control": array(1e20, 0)})
    for raw, expected in (([3.0, 4.0], [13.0, 4.0]), ([0.0, 1.0], [10.0, 1.0])):
        model.w.grad = torch.tensor(raw)
        term.adjust_gradients()
        assert model.w.grad.tolist() == pytest.approx(expected)
