"""An exponential moving average of what trains, over the steps of a round: sent in place of the last state.

    a_0 = x_0,   a_t = d_t a_(t-1) + (1 - d_t) x_t,   d_t = min(d, (1 + t) / (10 + t))

x_0 is the state received, x_t that after step t, d the recipe's `ema`. With d_t from 2/11 upwards the first steps
forget the start fast, so that a short round is no copy of what was received: while d_t < d a share of 10! (T + 1)! /
(T + 10)! is left of x_0, 0.002 after 5 steps and 4e-9 after 40. The ramp is that of TensorFlow's
`ExponentialMovingAverage(num_updates)`; averages of iterates: Polyak and Juditsky, SIAM J. Control Optim. 30(4), 1992.

All weights are positive and sum to 1, so that the average moves no farther than the steps could
(`protocol.local_steps`). It begins anew in each round: the coordinator's mean of what was sent is the next x_0.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Average:
    """The average of `parameters`, which begins with their values of now.

    Args:
        parameters: what trains, by key.
        decay: d.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float) -> None:
        self._parameters, self._decay, self._steps = dict(parameters), decay, 0
        self.values: dict[str, Tensor] = {key: value.detach().clone() for key, value in self._parameters.items()}

    def take_in(self) -> None:
        """Count the present values as those after one more step."""
        self._steps += 1
        now = [parameter.detach() for parameter in self._parameters.values()]
        get_ema_multi_avg_fn(decay_of(self._decay, self._steps))(list(self.values.values()), now, None)

    @torch.no_grad()
    def put_in_place(self) -> None:
        """Give the parameters their averages."""
        for key, parameter in self._parameters.items():
            parameter.copy_(self.values[key])


def decay_of(decay: float, step: int) -> float:
    """d_t, of a step counted from 1."""
    return min(decay, (1 + step) / (10 + step))
