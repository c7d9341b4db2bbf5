"""How many values a network would have, counted without memory for them and no further than asked."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode

MOST_TENSORS = 50_000
"""Of a network: the largest of the table has a few hundred; each costs kilobytes of Python, whatever its size."""


class TooLargeError(ValueError):
    """A network has more values, or more tensors, than were asked for."""


class _SequencesOnCpu(TorchFunctionMode):
    """Sequences of numbers keep their values on the meta device, where constructors read drop rates from them."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        given: Mapping[str, Any] = kwargs or {}
        return func(*args, **{**given, "device": "cpu"} if func is torch.linspace else given)


def count_parameters(build: Callable[[], nn.Module], most: int) -> int:
    """The values of all parameters of what `build` builds.

    Args:
        build: makes the network.
        most: how far to count.

    Raises:
        TooLargeError: there are more, or more than MOST_TENSORS tensors; the rest is not built.
        Exception: whatever `build` raises on the meta device.
    """
    values = tensors = 0

    def count(_module: nn.Module, _name: str, parameter: nn.Parameter | None) -> None:
        nonlocal values, tensors
        values, tensors = values + (0 if parameter is None else parameter.numel()), tensors + 1
        if values > most or tensors > MOST_TENSORS:
            raise TooLargeError(f"more than {most} values or {MOST_TENSORS} tensors")

    hook = register_module_parameter_registration_hook(count)
    try:
        with torch.device("meta"), _SequencesOnCpu():
            network = build()
    finally:
        hook.remove()
    return sum(parameter.numel() for parameter in network.parameters())
