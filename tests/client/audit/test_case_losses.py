import numpy as np
import torch

from client.audit.case_losses import case_losses
from client.learning.cancellation import never_cancelled
from tests.support.small_training import TASK, made
from tests.support.threshold_network import Threshold

CASES = [made("a", "ct", 1), made("b", "ct", 2)]


def test_every_network_is_shown_the_same_crops() -> None:
    first, again = (case_losses(Threshold(), TASK, CASES, ("ct",), never_cancelled) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_the_network_that_knows_the_contour_has_the_lower_loss() -> None:
    """The contour is where CT exceeds 0.7: that threshold is right, 0.1 is not."""
    right, wrong = Threshold(), Threshold()
    with torch.no_grad():
        right.limit.fill_(0.7)
        wrong.limit.fill_(0.1)
    losses = [case_losses(model, TASK, CASES, ("ct",), never_cancelled) for model in (right, wrong)]
    assert (losses[0] < losses[1]).all()


def test_a_case_that_cannot_be_shown_has_no_loss() -> None:
    cases = [made("a", "pet", 1), made("b", "ct", 2, labelled=False), made("c", "ct", 3)]
    found = case_losses(Threshold(), TASK, cases, ("ct",), never_cancelled)
    assert np.isnan(found).tolist() == [True, True, False]


def test_the_network_comes_back_as_it_was() -> None:
    model = Threshold().train()
    case_losses(model, TASK, CASES, ("ct",), never_cancelled)
    assert model.training
