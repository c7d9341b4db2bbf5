"""FedProx: a pull of the shared tensors towards what was received (arXiv 1812.06127, equation 2).

    F_i(theta) + mu/2 |theta - theta_t|^2          gradient g + mu (theta - theta_t)

theta_t are the values at the start of the round, over the shared tensors in training alone.
"""

from collections.abc import Mapping

from torch import Tensor, nn

from client.local_terms.contract import QuietTerm, Round, sum_of
from client.tasks.contract import Batch


class Proximal(QuietTerm):
    """The proximal term with weight `mu`; the parameters' present values are theta_t."""

    def __init__(self, parameters: Mapping[str, nn.Parameter], mu: float) -> None:
        self._mu = mu
        self._pairs = [(parameter, parameter.detach().clone()) for parameter in parameters.values()]

    def penalty(self, batch: Batch, answer: Tensor) -> Tensor | None:  # noqa: ARG002
        """mu/2 |theta - theta_t|^2."""
        return self._mu / 2 * sum_of([(parameter - start).square().sum() for parameter, start in self._pairs])


def build(around: Round, weight: float) -> Proximal | None:
    """FedProx over the shared tensors that the round trains; None where there are none."""
    shared = around.common()
    return Proximal(shared, weight) if shared else None
