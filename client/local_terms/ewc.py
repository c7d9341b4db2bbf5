"""Online elastic weight consolidation (arXiv 1612.00796, equation 3; online form arXiv 1805.06370, equation 9).

    lambda/2 sum_j F_j (theta_j - theta*_j)^2

F is the diagonal Fisher that earlier stages left (`key@fisher`, already faded by the coordinator), theta* the shared
state accepted before the stage. It is taken over trained tensors that have a Fisher. Factor coordinates depend on the
gauge (B R)(R^-1 A): F and theta* mean the same tensor only while the coordinator keeps the gauge.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from client.local_terms.contract import QuietTerm, Round, like, sum_of
from client.tasks.contract import Batch
from protocol.errors import ModelError

FISHER = "@fisher"


class Ewc(QuietTerm):
    """lambda/2 sum F (theta - theta*)^2 over rows of (parameter theta, F, theta*)."""

    def __init__(self, rows: Sequence[tuple[nn.Parameter, Tensor, Tensor]], weight: float) -> None:
        self._rows, self._weight = tuple(rows), weight

    def penalty(self, batch: Batch, answer: Tensor) -> Tensor | None:  # noqa: ARG002
        """The quadratic form at the present values."""
        return self._weight / 2 * sum_of([(fisher * (now - kept).square()).sum() for now, fisher, kept in self._rows])


def build(around: Round, weight: float) -> Ewc | None:
    """EWC over the trained tensors with a Fisher; None when no tensor has one.

    Raises:
        ModelError: a tensor with a Fisher has no reference value, or shapes differ.
    """
    found = around.parameters().items()
    rows = [_row(key, parameter, around) for key, parameter in found if key + FISHER in around.received]
    return Ewc(rows, weight) if rows else None


def _row(key: str, parameter: nn.Parameter, around: Round) -> tuple[nn.Parameter, Tensor, Tensor]:
    if key not in around.reference:
        raise ModelError(f"tensor '{key}' came with a Fisher but without a reference value; send both or neither")
    fisher, kept = around.received[key + FISHER], around.reference[key]
    if not fisher.shape == kept.shape == tuple(parameter.shape):
        raise ModelError(
            f"tensor '{key}' has shape {tuple(parameter.shape)}, its Fisher {fisher.shape}, "
            f"its reference {kept.shape}; EWC compares entry by entry, "
            "which a center with a rank of its own cannot do: use gram_anchor"
        )
    return parameter, like(fisher, parameter), like(kept, parameter)
