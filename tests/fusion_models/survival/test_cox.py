"""The partial likelihood, by hand and against scikit-survival's fit."""

import math

import numpy as np
import pytest
import torch
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv

from fusion_models.survival.cox import cox_loss, cox_risk


def test_loss_of_two_events_and_one_censored() -> None:
    """All at risk at day 1, the last alone at day 3; e^eta = 1, 2, 3: -(log 1/6 + log 3/3) / 3."""
    outputs = torch.tensor([1.0, 2.0, 3.0]).log()[:, None]
    targets = torch.tensor([[[1.0, 1]], [[2.0, 0]], [[3.0, 1]]])
    assert cox_loss(outputs, targets).item() == pytest.approx(math.log(6) / 3)


def test_tied_events_take_efrons_share_of_the_risk_set() -> None:
    """Both at day 1, e^eta 1 and 2, one more at risk with 3: denominators 6 and 6 - 3 / 2."""
    outputs = torch.tensor([1.0, 2.0, 3.0]).log()[:, None]
    targets = torch.tensor([[[1.0, 1]], [[1.0, 1]], [[2.0, 0]]])
    assert cox_loss(outputs, targets).item() == pytest.approx(-(math.log(1 / 6) + math.log(2 / 4.5)) / 3)


def test_who_is_censored_at_the_time_of_an_event_was_at_risk() -> None:
    outputs = torch.zeros(2, 1)
    targets = torch.tensor([[[5.0, 1]], [[5.0, 0]]])
    assert cox_loss(outputs, targets).item() == pytest.approx(math.log(2) / 2)


def test_a_missing_endpoint_is_in_no_risk_set() -> None:
    outputs = torch.zeros(3, 1)
    targets = torch.tensor([[[1.0, 1]], [[2.0, 0]], [[math.nan, math.nan]]])
    assert cox_loss(outputs, targets).item() == pytest.approx(math.log(2) / 2)


def test_endpoints_are_summed_over_the_known_cases_of_all() -> None:
    """log 2 of the first endpoint, nothing of the second, over 2 + 2 known."""
    outputs = torch.zeros(2, 2)
    targets = torch.tensor([[[1.0, 1], [1.0, 0]], [[2.0, 0], [2.0, 0]]])
    assert cox_loss(outputs, targets).item() == pytest.approx(math.log(2) / 4)


def test_without_an_event_there_is_nothing_to_learn() -> None:
    outputs = torch.zeros(2, 1, requires_grad=True)
    loss = cox_loss(outputs, torch.tensor([[[1.0, 0]], [[2.0, 0]]]))
    loss.backward()
    assert loss.item() == 0.0
    assert outputs.grad is not None
    assert outputs.grad.abs().max().item() == 0.0


def test_centers_weighted_by_their_cases_give_the_stratified_likelihood() -> None:
    """4 cases with 2 pairs of events, then 2 cases: the sum of both partial likelihoods over 6."""
    generator = torch.Generator().manual_seed(0)
    outputs, days = torch.randn(6, 1, generator=generator), torch.tensor([3.0, 1, 4, 2, 6, 5])
    targets = torch.stack([days, torch.tensor([1.0, 1, 0, 1, 1, 1])], dim=1)[:, None]
    first, second = cox_loss(outputs[:4], targets[:4]), cox_loss(outputs[4:], targets[4:])

    def summed(cases: slice) -> float:
        eta, times, event = outputs[cases, 0], targets[cases, 0, 0], targets[cases, 0, 1]
        found = [eta[i] - eta[times >= times[i]].logsumexp(0) for i in range(len(eta)) if event[i]]
        return -float(torch.stack(found).sum())

    assert (4 * first + 2 * second).item() == pytest.approx(summed(slice(0, 4)) + summed(slice(4, 6)), rel=1e-5)


def test_the_coefficients_of_scikit_survival_are_the_minimum() -> None:
    rng = np.random.default_rng(0)
    covariates, days, event = rng.normal(size=(60, 3)), rng.integers(1, 20, 60).astype(float), rng.random(60) < 0.6
    fitted = CoxPHSurvivalAnalysis(ties="efron").fit(covariates, Surv.from_arrays(event, days))
    weights = torch.tensor(fitted.coef_[:, None], requires_grad=True)
    targets = torch.tensor(np.stack([days, event], axis=1)[:, None])
    cox_loss(torch.tensor(covariates) @ weights, targets).backward()
    assert weights.grad is not None
    assert weights.grad.abs().max().item() < 1e-6


def test_risk_is_the_output_itself() -> None:
    outputs = torch.tensor([[0.5, -1.0]])
    assert torch.equal(cox_risk(outputs, 2), outputs)


def test_outputs_of_another_head_are_refused() -> None:
    with pytest.raises(ValueError, match="found 6, expected 2"):
        cox_risk(torch.zeros(1, 6), 2)
