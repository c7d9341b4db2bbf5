"""The likelihood of multi-task logistic regression, by hand."""

import math

import pytest
import torch
from torch import Tensor

from fusion_models.survival.mtlr import bin_of, mtlr_logits, mtlr_loss, mtlr_risk, mtlr_survival

EDGES = torch.tensor([100.0, 200.0])
NAN = math.nan
# u = (log 2, log 3): z = (log 6, log 3, 0), p = (6, 3, 1) / 10.
OUTPUTS = torch.tensor([[math.log(2), math.log(3)]])


def target(days: float, event: float) -> Tensor:
    return torch.tensor([[[days, event]]])


def test_there_is_one_logit_more_than_edges_and_the_last_is_zero() -> None:
    assert mtlr_logits(OUTPUTS).exp().tolist() == [[pytest.approx(6.0), pytest.approx(3.0), 1.0]]


@pytest.mark.parametrize(
    ("days", "event", "probability"),
    [
        (0, 1, 0.6),
        (99, 1, 0.6),
        (100, 1, 0.3),
        (150, 1, 0.3),
        (200, 1, 0.1),
        (5000, 1, 0.1),
        (50, 0, 1.0),
        (150, 0, 0.4),
        (5000, 0, 0.1),
    ],
)
def test_loss_is_minus_the_log_of_what_the_case_could_be(days: float, event: float, probability: float) -> None:
    loss = mtlr_loss(OUTPUTS, target(days, event), EDGES)
    assert loss.item() == pytest.approx(-math.log(probability), abs=1e-6)


def test_the_later_a_case_is_censored_the_less_probable_it_was() -> None:
    edges = torch.tensor([100.0, 200.0, 300.0, 400.0])
    outputs = torch.randn(1, 4, generator=torch.Generator().manual_seed(0))
    losses = [mtlr_loss(outputs, target(days, 0), edges).item() for days in (50, 150, 250, 350, 450)]
    assert losses == sorted(losses)
    assert losses[0] == pytest.approx(0, abs=1e-6)


def test_a_missing_endpoint_counts_neither_as_event_nor_as_case() -> None:
    outputs = OUTPUTS.repeat(1, 2)
    both = torch.tensor([[[150.0, 1.0], [NAN, NAN]]])
    assert mtlr_loss(outputs, both, EDGES).item() == pytest.approx(-math.log(0.3))


def test_a_missing_endpoint_leaves_no_trace_in_the_gradient() -> None:
    outputs = OUTPUTS.repeat(1, 2).requires_grad_()
    mtlr_loss(outputs, torch.tensor([[[150.0, 1.0], [NAN, 1.0]]]), EDGES).backward()
    assert outputs.grad is not None
    assert outputs.grad[0, 2:].tolist() == [0.0, 0.0]
    assert outputs.grad[0, :2].abs().min() > 0


def test_nothing_known_is_a_loss_of_zero() -> None:
    assert mtlr_loss(OUTPUTS, target(NAN, NAN), EDGES).item() == 0.0


def test_survival_at_an_edge_is_what_lies_behind_it() -> None:
    assert mtlr_survival(OUTPUTS, 1)[0, 0].tolist() == pytest.approx([0.4, 0.1])


def test_risk_sums_the_cumulated_ratios() -> None:
    """h = (0.6 / 0.4, 0.3 / 0.1) = (1.5, 3); 1.5 + (1.5 + 3) = 6."""
    assert mtlr_risk(OUTPUTS, 1).item() == pytest.approx(6.0, rel=1e-5)


def test_risk_falls_with_the_time_that_is_likely() -> None:
    """Each row puts most into one bin, the first row into the earliest."""
    edges = 3
    certain = 4 * torch.eye(edges + 1)
    outputs = certain[:, :-1] - certain[:, 1:]
    risks = mtlr_risk(outputs, 1)[:, 0]
    assert risks.tolist() == sorted(risks.tolist(), reverse=True)


def test_endpoints_lie_one_after_the_other() -> None:
    outputs = torch.cat([OUTPUTS, torch.zeros(1, 2)], dim=1)
    assert mtlr_survival(outputs, 2)[0, 1].tolist() == pytest.approx([2 / 3, 1 / 3])


def test_extreme_outputs_give_finite_risks() -> None:
    assert torch.isfinite(mtlr_risk(torch.tensor([[500.0, 500.0]]), 1)).all()


def test_a_time_on_an_edge_opens_the_next_bin() -> None:
    assert bin_of(torch.tensor([99.9, 100.0, 199.0, 200.0, 1e6]), EDGES).tolist() == [0, 1, 1, 2, 2]


def test_one_edge_is_logistic_regression() -> None:
    """K = 1: p_1 = sigmoid(u), as of whether the event comes before the edge."""
    outputs = torch.tensor([[0.7]])
    expected = torch.nn.functional.binary_cross_entropy_with_logits(outputs, torch.ones(1, 1))
    assert mtlr_loss(outputs, target(10, 1), torch.tensor([365.0])).item() == pytest.approx(expected.item())
