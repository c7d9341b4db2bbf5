"""The optimiser of a round: AdamW over what trains, its rates, and the largest gradient that it follows.

    r_t = min(1, (t + 1) / 5) rate f        f the recipe's `gate_rate` for gates and gains of a pathway, else 1
    g  <- g min(1, clip_norm / ||g||)       over all that trains in the step; with `clip_norm` 0 as it is

Gradients are clipped last. What local terms add and change is clipped with the rest, since it is the whole step that
must not leap; a control variate (`client.local_terms.scaffold`) is the mean of gradients as they were before.
"""

from collections.abc import Mapping

import torch
from torch import nn

from protocol.errors import ModelError
from protocol.local_steps import BETAS, EPSILON, rate_factor, warm_up
from protocol.messages.settings import Training


class Optimiser:
    """AdamW for the steps of a round.

    Args:
        parameters: what trains, by key.
        training: of the round.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], training: Training) -> None:
        self._parameters, self._rate = dict(parameters), training.learning_rate
        self._largest = training.recipe.clip_norm
        by_factor: dict[float, list[nn.Parameter]] = {}
        for key, parameter in parameters.items():
            by_factor.setdefault(rate_factor(key, training), []).append(parameter)
        self._factors = list(by_factor)
        self._adam_w = torch.optim.AdamW(
            [{"params": found} for found in by_factor.values()],
            lr=training.learning_rate,
            betas=BETAS,
            eps=EPSILON,
            weight_decay=training.weight_decay,
        )

    def begin_step(self, number: int) -> None:
        """Forget the gradients and set the rates of a step, counted from 0."""
        self._adam_w.zero_grad(set_to_none=True)
        for group, factor in zip(self._adam_w.param_groups, self._factors, strict=True):
            group["lr"] = warm_up(self._rate * factor, number)

    def idle(self) -> list[nn.Parameter]:
        """What has no gradient."""
        return [parameter for parameter in self._parameters.values() if parameter.grad is None]

    def move(self) -> None:
        """Take the step that the gradients ask for.

        Raises:
            ModelError: they are to be clipped and have no finite length.
        """
        if self._largest:
            length = nn.utils.clip_grad_norm_(self._parameters.values(), self._largest)
            if not torch.isfinite(length):
                raise ModelError(f"the gradient of a step has length {length.item()}; lower the rate")
        self._adam_w.step()
