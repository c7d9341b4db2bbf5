"""O-LoRA: new input directions stay orthogonal to earlier ones (arXiv 2310.14152, equations 7 and 8).

    lambda sum_M |A_M^old A_M^T|_F^2

A^old are the frozen directions of earlier stages, which the residual of the reference holds: residual_a (c, k),
convolutions flattened to k = in * volume. The residual received in a round is not asked: it may hold directions of the
stage under way.
A module without residual, or whose A does not train, adds nothing. The term suppresses transfer between centers that
share one task and is therefore an option for a change of task.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from client.local_terms.contract import QuietTerm, Round, like, sum_of
from client.tasks.contract import Batch
from protocol.errors import ModelError
from protocol.messages.tensors import module_of, role_of


class Orthogonality(QuietTerm):
    """lambda sum |A^old A^T|_F^2 over rows of (parameter A, earlier directions (c, k))."""

    def __init__(self, rows: Sequence[tuple[nn.Parameter, Tensor]], weight: float) -> None:
        self._rows, self._weight = tuple(rows), weight

    def penalty(self, batch: Batch, answer: Tensor) -> Tensor | None:  # noqa: ARG002
        """The overlap of A's rows with the earlier directions."""
        return self._weight * sum_of([(old @ a.flatten(1).T).square().sum() for a, old in self._rows])


def build(around: Round, weight: float) -> Orthogonality | None:
    """O-LoRA over the trained A of modules with a residual in the reference; None when there is none.

    Raises:
        ModelError: a residual has another input width than its module.
    """
    rows = [
        _row(key, parameter, around)
        for key, parameter in around.parameters().items()
        if role_of(key) == "lora_a" and f"{module_of(key)}#residual_a" in around.reference
    ]
    return Orthogonality(rows, weight) if rows else None


def _row(key: str, parameter: nn.Parameter, around: Round) -> tuple[nn.Parameter, Tensor]:
    name = f"{module_of(key)}#residual_a"
    old = like(around.reference[name], parameter).flatten(1)
    if old.shape[1] != parameter[0].numel():
        raise ModelError(f"tensor '{name}' has input width {old.shape[1]}, expected {parameter[0].numel()} as '{key}'")
    return parameter, old
