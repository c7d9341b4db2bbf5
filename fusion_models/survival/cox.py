"""Cox's partial likelihood with Efron's correction for ties.

    eta_i                  log risk of case i: a network's output
    D(t)                   the d cases whose event is at t;  R(t): all whose time is at least t
    log L(t) = sum_{i in D} eta_i - sum_{m=0}^{d-1} log( sum_{j in R} e^eta_j  -  (m / d) sum_{j in D} e^eta_j )
    loss     = - sum_t log L(t) / (known cases and endpoints)

Divided by cases, not by events: weighted by its cases, the mean of the centers' losses is then the stratified partial
likelihood of all centers together, every center with a baseline hazard of its own. No pair of cases of two centers
is ever compared.

Sources: Cox (1972), Regression models and life-tables; Efron (1977), The efficiency of Cox's likelihood function.
Shapes: b cases, n endpoints; a network's outputs are (b, n).
"""

import torch
from torch import Tensor


def cox_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """The negative log partial likelihood of all endpoints, a case and endpoint.

    Args:
        outputs: (b, n), log risks.
        targets: (b, n, 2), days and event (1) or censoring (0); NaN where an endpoint is missing.

    Returns:
        A scalar; zero, still part of the graph, where no event is known.
    """
    known = ~targets.isnan().any(-1)
    losses = [
        _negative_log_likelihood(outputs[has, endpoint], targets[has, endpoint, 0], targets[has, endpoint, 1] > 0)
        for endpoint, has in enumerate(known.unbind(1))
    ]
    return torch.stack(losses).sum() / known.sum().clamp(min=1)


def cox_risk(outputs: Tensor, endpoints: int) -> Tensor:
    """The risk score, (b, n): the log risk itself.

    Raises:
        ValueError: there is not one output an endpoint.
    """
    if outputs.shape[-1] != endpoints:
        raise ValueError(f"a Cox head has one output an endpoint: found {outputs.shape[-1]}, expected {endpoints}")
    return outputs


def _negative_log_likelihood(eta: Tensor, days: Tensor, event: Tensor) -> Tensor:
    """The sum over event times, scalar, of cases (b,)."""
    at_risk = days[None, :] >= days[event][:, None]
    tied = (days[None, :] == days[event][:, None]) & event[None, :]
    return (_log_denominators(eta, at_risk, tied, _ranks(tied[:, event])) - eta[event]).sum()


def _log_denominators(eta: Tensor, at_risk: Tensor, tied: Tensor, rank: Tensor) -> Tensor:
    """log( sum_R e^eta - (m / d) sum_D e^eta ) an event, (events,), with every case weighed by 1 or 1 - m / d."""
    share = 1 - (rank / tied.sum(1))[:, None] * tied
    weights = torch.where(at_risk, share, torch.zeros_like(share))
    return (eta[None, :] + weights.log()).logsumexp(1)


def _ranks(tied: Tensor) -> Tensor:
    """m: how many events of the same time stand before each, (events,), of who is tied with whom (events, events)."""
    return tied.tril(diagonal=-1).sum(1).to(torch.float32)
