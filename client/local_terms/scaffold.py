"""SCAFFOLD: control variates against the drift of a center (arXiv 1910.06378, algorithm 1), for AdamW at the center.

    g <- g - c_i + c                     in each step, on every shared tensor that has a gradient
    c_i+ = mean over the steps of the raw g

c_i is `key@control` and c is `key@shared-control` of the instruction, 0 where absent; c_i+ goes back as `key@control`.
The paper's option II, c_i+ = c_i - c + (x_t - y_i) / (K eta), is this mean when the local steps are plain SGD: (x_t -
y_i) / (K eta) is then the mean of g - c_i + c. AdamW rescales its steps, so the difference of weights no longer tells
the gradient; option I asks for one more pass over the data at x_t. The running mean costs nothing and is the same
estimate. What other centers sent cannot drown a center's own gradients: c - c_i is scaled down to twice the
largest norm that a raw gradient of the tensor had so far in the round. A tensor that some step does not touch (the PET
pathway in a CT-only step) keeps no gradient there, is not corrected there, and its mean counts the steps that touched
it; without any it keeps its c_i.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from client.local_terms.contract import QuietTerm, Round, array_of, like
from protocol.errors import ModelError
from protocol.messages.tensors import Tensors

CONTROL, SHARED_CONTROL = "@control", "@shared-control"
GRADIENT_FACTOR = 2.0


class Scaffold(QuietTerm):
    """Corrects gradients by `received` control variates and remembers the raw ones.

    Raises:
        ModelError: a control variate has another shape than its tensor.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], received: Tensors) -> None:
        self._parameters = dict(parameters)
        self._own = {key: _control(key, CONTROL, value, received) for key, value in self._parameters.items()}
        self._shared = {key: _control(key, SHARED_CONTROL, value, received) for key, value in self._parameters.items()}
        self._sums = {key: torch.zeros_like(parameter) for key, parameter in self._parameters.items()}
        self._steps = dict.fromkeys(self._parameters, 0)
        self._largest = dict.fromkeys(self._parameters, 0.0)

    @torch.no_grad()
    def adjust_gradients(self) -> None:
        """Remember g, then g <- g - c_i + c."""
        for key, parameter in self._parameters.items():
            if parameter.grad is None:
                continue
            self._sums[key] += parameter.grad
            self._steps[key] += 1
            self._largest[key] = max(self._largest[key], float(torch.linalg.vector_norm(parameter.grad.double())))
            parameter.grad += self._correction(key)

    def _correction(self, key: str) -> Tensor:
        """c - c_i, no longer than twice the longest raw gradient."""
        correction = self._shared[key] - self._own[key]
        length, limit = float(torch.linalg.vector_norm(correction.double())), GRADIENT_FACTOR * self._largest[key]
        return correction * (limit / length) if length > limit else correction

    def outcome(self) -> dict[str, NDArray[np.float32]]:
        """c_i+ of every tensor, as `key@control`; of a tensor that no step touched the c_i it came with."""
        found = {key: self._sums[key] / n if n else self._own[key] for key, n in self._steps.items()}
        return {f"{key}{CONTROL}": array_of(control) for key, control in found.items()}


def build(around: Round, _weight: float) -> Scaffold | None:
    """SCAFFOLD over the shared tensors that the round trains; None where there are none."""
    shared = around.common()
    return Scaffold(shared, around.received) if shared else None


def _control(key: str, suffix: str, parameter: nn.Parameter, received: Tensors) -> Tensor:
    """A control variate of one tensor as it came; 0 where it did not."""
    found = received.get(f"{key}{suffix}")
    if found is None:
        return torch.zeros_like(parameter)
    if found.shape != tuple(parameter.shape):
        raise ModelError(
            f"control variate '{key}{suffix}' has shape {found.shape}, expected {tuple(parameter.shape)}; "
            "the coordinator must drop it when the tensor changes its shape"
        )
    return like(found, parameter)
