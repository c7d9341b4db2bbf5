"""The optimiser of a round: AdamW over what trains, with a rate that warms up (`protocol.local_steps`)."""

from collections.abc import Mapping

import torch
from torch import nn

from protocol.local_steps import BETAS, EPSILON, warm_up
from protocol.messages.settings import Training


class Optimiser:
    """AdamW for the steps of a round.

    Args:
        parameters: what trains, by key.
        training: of the round.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], training: Training) -> None:
        self._parameters, self._rate = dict(parameters), training.learning_rate
        self._adam_w = torch.optim.AdamW(
            list(parameters.values()),
            lr=training.learning_rate,
            betas=BETAS,
            eps=EPSILON,
            weight_decay=training.weight_decay,
        )

    def begin_step(self, number: int) -> None:
        """Forget the gradients and set the rate of a step, counted from 0."""
        self._adam_w.zero_grad(set_to_none=True)
        for group in self._adam_w.param_groups:
            group["lr"] = warm_up(self._rate, number)

    def idle(self) -> list[nn.Parameter]:
        """What has no gradient."""
        return [parameter for parameter in self._parameters.values() if parameter.grad is None]

    def move(self) -> None:
        """Take the step that the gradients ask for."""
        self._adam_w.step()
