"""How large the inputs of projections are at this center: the mean of |x|^2, x what a weight (d, k) is multiplied with.

    Linear        x a token: the mean over tokens of the sum over features
    convolution   x a patch: kernel volume times the mean over positions of the sum over channels, borders aside

The largest mean of the first STEPS steps in which a module ran. Hooks are there during forward passes that are watched
and at no other time; nothing is drawn and no value changes.
"""

import math
from collections.abc import Mapping
from functools import partial

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

STEPS = 10


class InputSizes:
    """Measures adapted layers, by name."""

    def __init__(self, layers: Mapping[str, LoraLayer]) -> None:
        self._layers = dict(layers)
        self._hooks: list[RemovableHandle] = []
        self._steps = dict.fromkeys(layers, 0)
        self.largest: dict[str, float] = {}

    def watch(self) -> None:
        """Measure the forward pass that follows, as far as there are steps left."""
        self.rest()
        self._hooks = [
            layer.register_forward_pre_hook(partial(self._measure, name))
            for name, layer in self._layers.items()
            if self._steps[name] < STEPS
        ]

    def rest(self) -> None:
        """Take the hooks away."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    @torch.no_grad()
    def _measure(self, name: str, layer: LoraLayer, inputs: tuple[Tensor, ...]) -> None:
        found = mean_square(layer.get_base_layer(), inputs[0])
        self._steps[name] += 1
        self.largest[name] = max(found, self.largest.get(name, 0.0))


def mean_square(layer: nn.Module, x: Tensor) -> float:
    """The mean of |x|^2 over what a projection multiplies its weight with."""
    values = x.detach().double()
    if isinstance(layer, nn.Linear):
        return float(values.square().sum(-1).mean())
    kernel = getattr(layer, "kernel_size", (1,))
    return math.prod(kernel) * float(values.square().sum(1).mean())
