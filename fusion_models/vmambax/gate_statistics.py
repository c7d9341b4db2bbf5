"""How open CGM's gates are: mean, spread and saturated share of G per stage and modality.

Over all n values g of a gate's G (cases, channels, positions):

    mean = sum g / n,   std = sqrt(sum g^2 / n - mean^2),   saturated = share of g below 0.05 or above 0.95

A mean near 0 or 1 with no spread is a collapsed gate; means of CT and PET far apart are one modality drowning the
other.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from fusion_models.vmambax.cgm import Cgm, ContextGate

SATURATED_BELOW, SATURATED_ABOVE = 0.05, 0.95


class GateStatistics:
    """Sums over every forward pass made while a model is observed."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}

    @contextmanager
    def observe(self, model: nn.Module) -> Iterator["GateStatistics"]:
        """Count what the gates of `model` give in the forward passes made inside; outside nothing is counted."""
        hooks = [gate.register_forward_hook(self._counter(name)) for name, gate in _gates(model)]
        try:
            yield self
        finally:
            for hook in hooks:
                hook.remove()

    def summary(self) -> dict[str, float]:
        """`gate/<stage>/<ct or pet>/<mean, std or saturated>` of each gate that was used; stage 0 is the finest."""
        found: dict[str, float] = {}
        for name, sums in self._sums.items():
            count, total, squares, saturated = sums.tolist()
            mean = total / count
            found[f"{name}/mean"] = mean
            # Rounding can leave the variance of a constant gate a hair below zero.
            found[f"{name}/std"] = max(squares / count - mean**2, 0.0) ** 0.5
            found[f"{name}/saturated"] = saturated / count
        return found

    def _counter(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def count(_module: nn.Module, _inputs: tuple[Tensor, ...], gate: Tensor) -> None:
            self._sums[name] = self._sums.get(name, torch.zeros(4, dtype=torch.float64)) + _sums(gate.detach())

        return count


def _gates(model: nn.Module) -> list[tuple[str, ContextGate]]:
    """Each gate with its name; a model's CGMs stand in the order of its stages."""
    stages = [module for module in model.modules() if isinstance(module, Cgm)]
    return [
        (f"gate/{stage}/{modality}", gate)
        for stage, cgm in enumerate(stages)
        for modality, gate in (("ct", cgm.ct_gate), ("pet", cgm.pet_gate))
    ]


def _sums(gate: Tensor) -> Tensor:
    """Number of values, their sum, sum of squares, and how many are saturated: (4,), float64."""
    values = gate.double()
    saturated = (values < SATURATED_BELOW) | (values > SATURATED_ABOVE)
    return torch.stack([values.new_tensor(values.numel()), values.sum(), values.square().sum(), saturated.sum()]).cpu()
