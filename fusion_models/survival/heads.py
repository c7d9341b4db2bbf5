"""What a network's outputs mean, by the head that a study names: one row each.

mtlr   k outputs an endpoint: the increments of multi-task logistic regression over the study's time bins
cox    1 output an endpoint: the log risk, an order without a time
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from fusion_models.full_precision import compute_in_float32
from fusion_models.survival.cox import cox_loss, cox_risk
from fusion_models.survival.mtlr import mtlr_log_probabilities, mtlr_loss, mtlr_risk, mtlr_survival


@dataclass(frozen=True)
class SurvivalHead:
    """One head; outputs are (b, n * k), endpoint by endpoint.

    loss: (outputs, targets (b, n, 2), edges (k,)) -> scalar.
    risk: (outputs, n) -> (b, n), higher is worse.
    curve: (outputs, n) -> survival at the edges (b, n, k); no edge where the head knows no time.
    logits: (outputs, n) -> what a softmax over the last axis makes the distribution that a teacher teaches.
    """

    loss: Callable[[Tensor, Tensor, Tensor], Tensor]
    risk: Callable[[Tensor, int], Tensor]
    curve: Callable[[Tensor, int], Tensor]
    logits: Callable[[Tensor, int], Tensor]


def _cox_loss(outputs: Tensor, targets: Tensor, _edges: Tensor) -> Tensor:
    return cox_loss(outputs, targets)


def _no_curve(outputs: Tensor, endpoints: int) -> Tensor:
    """(b, n, 0): the baseline hazard that would make a curve of a log risk is each center's own."""
    return outputs.new_empty(len(outputs), endpoints, 0)


def _who_is_next(outputs: Tensor, endpoints: int) -> Tensor:
    """(n, b): softmax over the cases of a batch is the chance of each to have the event first."""
    return cox_risk(outputs, endpoints).T


HEADS: Mapping[str, SurvivalHead] = {
    "mtlr": SurvivalHead(compute_in_float32(mtlr_loss), mtlr_risk, mtlr_survival, mtlr_log_probabilities),
    "cox": SurvivalHead(compute_in_float32(_cox_loss), cox_risk, _no_curve, _who_is_next),
}
