"""Online elastic weight consolidation (arXiv 1612.00796, equation 3; online form arXiv 1805.06370, equation 9).

    lambda/2 sum_j F_j (theta_j - theta*_j)^2

F is the diagonal Fisher that earlier stages left (`key@fisher`, already faded by the coordinator), theta* the shared
state accepted before the stage. It is taken over trained tensors that have a Fisher. Factor coordinates depend on the
gauge (B R)(R^-1 A): F and theta* mean the same tensor only while the coordinator keeps the gauge.

What others remember cannot hold a center still: the penalty's gradient of a tensor is scaled as if sum F were at most
10 m b g, g the largest sum of squares that the loss's own gradient of the tensor had so far in the round, b the batch
size (a mean over b cases has b times smaller squares than a case's), m = `key@fisher-mass`, the stages' worth in F.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from client.local_terms.contract import QuietTerm, Round, like, sum_of
from client.tasks.contract import Batch
from protocol.errors import ModelError

FISHER, MASS = "@fisher", "@fisher-mass"
FISHER_FACTOR = 10.0

Row = tuple[nn.Parameter, Tensor, Tensor]


class Ewc(QuietTerm):
    """lambda/2 sum F (theta - theta*)^2 over rows of (parameter theta, F, theta*).

    Args:
        rows: what is held.
        weight: lambda.
        limits: 10 m b of each row.
    """

    def __init__(self, rows: Sequence[Row], weight: float, limits: Sequence[float]) -> None:
        self._rows, self._weight, self._limits = tuple(rows), weight, tuple(limits)
        self._sums = [float(fisher.double().sum()) for _, fisher, _ in self._rows]
        self._largest = [0.0] * len(self._rows)
        self._raw: dict[int, Tensor] = {}
        for place, (now, _, _) in enumerate(self._rows):
            now.register_hook(partial(self._note, place))

    def remember(self, batch: Batch) -> None:  # noqa: ARG002
        """Begin a step."""
        self._raw = {}

    def penalty(self, batch: Batch, answer: Tensor) -> Tensor | None:  # noqa: ARG002
        """The quadratic form at the present values."""
        return self._weight / 2 * sum_of([(fisher * (now - kept).square()).sum() for now, fisher, kept in self._rows])

    @torch.no_grad()
    def adjust_gradients(self) -> None:
        """Scale the penalty's part of gradients down where F is too large for what gradients are here."""
        for place, (now, fisher, kept) in enumerate(self._rows):
            if now.grad is None or place not in self._raw:
                continue
            raw = self._raw[place]
            self._largest[place] = max(self._largest[place], float(raw.double().square().sum()))
            limit = self._limits[place] * self._largest[place]
            if self._sums[place] > limit:
                now.grad.copy_(raw + self._weight * limit / self._sums[place] * fisher * (now - kept))

    def _note(self, place: int, gradient: Tensor) -> None:
        """Keep the first gradient of a step: the loss's own, which goes backward before the penalties."""
        self._raw.setdefault(place, gradient.detach().clone())


def build(around: Round, weight: float) -> Ewc | None:
    """EWC over the trained tensors with a Fisher; None when no tensor has one.

    Raises:
        ModelError: a tensor with a Fisher has no reference value, or shapes differ.
    """
    found = around.parameters().items()
    rows = [_row(key, parameter, around) for key, parameter in found if key + FISHER in around.received]
    each = FISHER_FACTOR * around.training.batch_size
    limits = [each * _mass(key, around) for key, _ in found if key + FISHER in around.received]
    return Ewc(rows, weight, limits) if rows else None


def _mass(key: str, around: Round) -> float:
    """How many stages' worth of Fisher there is; 1 where nobody says."""
    found = around.received.get(key + MASS)
    return 1.0 if found is None else float(found.item())


def _row(key: str, parameter: nn.Parameter, around: Round) -> Row:
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
