"""A module for PET that is CT's module plus an offset: y = f(x; W_C + D), D zero at first.

It is a copy of CT's module at whatever backbone, also one that is trained or loaded after the offset was drawn, and
weight decay pulls it to CT's weights, not to zero. In place of f(x; W_C) + f(x; D), which is the same for one linear
layer only, the weights are added, so that PET costs one pass.
"""

from typing import TypeVar

from torch import Tensor, nn
from torch.func import functional_call

from fusion_models.adapters.keys import key_of

Part = TypeVar("Part", bound=nn.Module)
ORIGINAL, SAVED = "original_module", "modules_to_save"


def shift(base: nn.Module, offset: nn.Module, x: Tensor) -> Tensor:
    """What `base` gives with its weights plus those of `offset`; adapters of `base`, if it has any, act as they are.

    Args:
        base: CT's module. offset: a module of the same parameters, also within peft's wrapper of modules that it saves.

    Raises:
        ValueError: the offset has none of the module's parameters.
    """
    offsets = _offsets(offset)
    weights = {name: own + offsets[key] for name, own in base.named_parameters() if (key := key_of(name)) in offsets}
    if not weights:
        raise ValueError(f"the offset has parameters {sorted(offsets)}, none of {type(base).__name__}'s own")
    shifted: Tensor = functional_call(base, weights, (x,))
    return shifted


def zero(module: Part) -> Part:
    """The module with all its weights zero."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


def _offsets(offset: nn.Module) -> dict[str, Tensor]:
    """The parameters of an offset by key: `modules_to_save.NAME` of peft in place of `original_module` beside it."""
    found = dict[str, Tensor]()
    for name, parameter in offset.named_parameters():
        parts = name.split(".")
        if SAVED in parts:
            place = parts.index(SAVED)
            parts = parts[:place] + parts[place + 2 :]
        if ORIGINAL not in parts:
            found[key_of(".".join(parts))] = parameter
    return found
