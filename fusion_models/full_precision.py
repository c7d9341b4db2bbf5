"""What must not be computed in half precision although the network around it is: losses."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")
HALF = (torch.bfloat16, torch.float16)


def compute_in_float32(function: Callable[P, R]) -> Callable[P, R]:
    """The function with autocast off where its first tensor lies, and what comes in half precision widened to float32.

    A sum over the voxels of a crop needs more than the 8 significant bits of bfloat16: 256 + 1 is 256 there.
    """

    @wraps(function)
    def computed(*args: P.args, **kwargs: P.kwargs) -> R:
        wide = [_widened(argument) for argument in args]
        named = {name: _widened(argument) for name, argument in kwargs.items()}
        with torch.autocast(_device_of([*wide, *named.values()]), enabled=False):
            return function(*wide, **named)

    return computed


def widen(x: Tensor) -> Tensor:
    """x in float32 where it is of half precision, else x itself."""
    return x.float() if x.dtype in HALF else x


def _widened(argument: Any) -> Any:
    """A tensor, or a list of tensors, in float32 where it is of half precision; anything else as it is."""
    if isinstance(argument, Tensor):
        return widen(argument)
    return [_widened(part) for part in argument] if isinstance(argument, list | tuple) else argument


def _device_of(arguments: Sequence[Any]) -> str:
    """The type of device of the first tensor; the CPU's where there is none or it has no autocast (meta)."""
    flat = [part for found in arguments for part in (found if isinstance(found, list | tuple) else [found])]
    types = [part.device.type for part in flat if isinstance(part, Tensor)]
    return next((found for found in types if torch.amp.is_autocast_available(found)), "cpu")
