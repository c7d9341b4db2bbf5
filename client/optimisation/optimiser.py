"""The optimiser of a round: AdamW over what trains, its rates, and the largest gradient that it follows.

    r_t = min(1, (t + 1) / 5) rate f        f the recipe's `gate_rate` for gates and gains of a pathway, else 1
    g  <- g min(1, clip_norm / ||g||)       over all that trains in the step; with `clip_norm` 0 as it is

Gradients are clipped last. What local terms add and change is clipped with the rest, since it is the whole step that
must not leap; a control variate (`client.local_terms.scaffold`) is the mean of gradients as they were before.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from client.optimisation.moments import FRESH, Moment, Moments
from protocol.errors import ModelError
from protocol.local_steps import BETAS, EPSILON, rate_factor, warm_up
from protocol.messages.settings import Training


class Optimiser:
    """AdamW for the steps of a round.

    Args:
        parameters: what trains, by key.
        training: of the round.
        moments: that it goes on with; a tensor without any, or of another shape, starts afresh.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], training: Training, moments: Moments = FRESH) -> None:
        self._parameters, self._rate = dict(parameters), training.learning_rate
        self._largest = training.recipe.clip_norm
        by_factor: dict[float, list[str]] = {}
        for key in parameters:
            by_factor.setdefault(rate_factor(key, training), []).append(key)
        self._factors = list(by_factor)
        self._adam_w = torch.optim.AdamW(
            [{"params": [parameters[key] for key in keys]} for keys in by_factor.values()],
            lr=training.learning_rate,
            betas=BETAS,
            eps=EPSILON,
            weight_decay=training.weight_decay,
        )
        self._go_on_with(moments, [key for keys in by_factor.values() for key in keys])

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

    def moments(self) -> dict[str, Moment]:
        """Those of every tensor that any step moved, copies of their own."""
        found = {key: self._adam_w.state.get(parameter) for key, parameter in self._parameters.items()}
        return {
            key: Moment(int(state["step"]), _array(state["exp_avg"]), _array(state["exp_avg_sq"]))
            for key, state in found.items()
            if state
        }

    def _go_on_with(self, moments: Moments, order: Sequence[str]) -> None:
        state = self._adam_w.state_dict()
        state["state"] = {
            place: _state_of(moments[key], self._parameters[key])
            for place, key in enumerate(order)
            if key in moments and moments[key].first.shape == tuple(self._parameters[key].shape)
        }
        self._adam_w.load_state_dict(state)


def _state_of(moment: Moment, parameter: nn.Parameter) -> dict[str, Tensor]:
    """As torch's AdamW has it, each moment laid out in memory as its parameter."""
    first, second = (
        torch.empty_like(parameter, requires_grad=False).copy_(torch.tensor(array))
        for array in (moment.first, moment.second)
    )
    return {"step": torch.tensor(float(moment.steps)), "exp_avg": first, "exp_avg_sq": second}


def _array(tensor: Tensor) -> NDArray[np.float32]:
    return np.array(tensor.detach().cpu().numpy(), dtype=np.float32, order="C")
