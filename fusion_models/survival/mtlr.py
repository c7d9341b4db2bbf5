"""Multi-task logistic regression: survival as a distribution over time bins.

    tau_1 < ... < tau_K             edges in days, the same at every center of a study
    bin j (j = 1..K+1)              times in [tau_{j-1}, tau_j), tau_0 = 0, tau_{K+1} = infinity
    z_j = sum_{k >= j} u_k          for j = 1..K, from the K outputs u of a network;  z_{K+1} = 0
    p = softmax(z)                  p_j: probability that the event falls into bin j
    event in bin e                  log p_e
    censored in bin c               log sum_{j >= c} p_j
    S(tau_j) = sum_{l > j} p_l      probability of no event before tau_j
    h_j = p_j / S(tau_j)            risk = sum_j sum_{i <= j} h_i, higher is worse

Times are clipped to tau_K, so the last bin holds all that happens from there on. A person censored within a bin may
have the event in that bin still, which is why the sum begins with it.

Sources: Yu, Greiner, Lin, Baracos (NIPS 2011), Learning patient-specific cancer survival distributions as a sequence of
dependent regressors; the bins' form of Fotso (arXiv 1801.05512).
Shapes: b cases, n endpoints, k edges; a network's outputs are (b, n * k), endpoint by endpoint.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

# A bin that holds almost everything gives an unbounded ratio; e^30 ranks it highest and stays finite in float32.
LARGEST_LOG_RATIO = 30.0


def mtlr_loss(outputs: Tensor, targets: Tensor, edges: Tensor) -> Tensor:
    """The mean negative log-likelihood of every case and endpoint that is known.

    Args:
        outputs: (b, n * k).
        targets: (b, n, 2), days and event (1) or censoring (0); NaN where an endpoint is missing.
        edges: (k,), days, ascending.

    Returns:
        A scalar; zero, still part of the graph, where nothing is known.
    """
    log_p = mtlr_log_probabilities(outputs, targets.shape[1])
    days, event, known = _split_targets(targets)
    found = torch.where(event, _log_in_bin(log_p, days, edges), _log_from_bin(log_p, days, edges))
    return -(found * known).sum() / known.sum().clamp(min=1)


def mtlr_log_probabilities(outputs: Tensor, endpoints: int) -> Tensor:
    """log p, (b, n, k + 1)."""
    u = outputs.unflatten(-1, (endpoints, -1))
    return mtlr_logits(u).log_softmax(dim=-1)


def mtlr_logits(u: Tensor) -> Tensor:
    """z, (..., k + 1), of the outputs u, (..., k)."""
    sums = u.flip(-1).cumsum(-1).flip(-1)
    return F.pad(sums, (0, 1))


def mtlr_survival(outputs: Tensor, endpoints: int) -> Tensor:
    """S at the edges, (b, n, k), falling along the edges."""
    return _log_survival(mtlr_log_probabilities(outputs, endpoints)).exp()


def mtlr_risk(outputs: Tensor, endpoints: int) -> Tensor:
    """The risk score, (b, n); higher is worse."""
    log_p = mtlr_log_probabilities(outputs, endpoints)
    ratios = (log_p[..., :-1] - _log_survival(log_p)).clamp(max=LARGEST_LOG_RATIO).exp()
    return ratios.cumsum(-1).sum(-1)


def bin_of(days: Tensor, edges: Tensor) -> Tensor:
    """The bin of each time, counted from 0, in the shape of `days`; a time on an edge opens the bin behind it."""
    return torch.bucketize(days.clamp(max=float(edges[-1])), edges, right=True)


def _log_survival(log_p: Tensor) -> Tensor:
    """log S(tau_j) for j = 1..K, (..., k)."""
    return log_p.flip(-1).logcumsumexp(-1).flip(-1)[..., 1:]


def _log_in_bin(log_p: Tensor, days: Tensor, edges: Tensor) -> Tensor:
    return log_p.gather(-1, bin_of(days, edges)[..., None]).squeeze(-1)


def _log_from_bin(log_p: Tensor, days: Tensor, edges: Tensor) -> Tensor:
    tails = log_p.flip(-1).logcumsumexp(-1).flip(-1)
    return tails.gather(-1, bin_of(days, edges)[..., None]).squeeze(-1)


def _split_targets(targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Days, whether the event was seen, and whether both are known, (b, n) each; unknown days read 0."""
    known = ~targets.isnan().any(-1)
    filled = targets.nan_to_num()
    return filled[..., 0].contiguous(), filled[..., 1] > 0, known
