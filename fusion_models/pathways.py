"""How a PET pathway starts beside a CT network, by the word of a study file.

    published   PET's modules are drawn by themselves and count in full from the first step, as in the papers
    copied      PET's modules are CT's plus an offset, zero at first: PET alone answers as the CT network does to PET
    identity    copied, and PET reaches CT's answer through gates and gains, zero at first: CT+PET answers as CT alone

A family builds those that differ for it and refuses the others by name.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from fusion_models.offset import shift, zero


@dataclass(frozen=True)
class Pathway:
    """One start.

    draw: brings PET's module, as its constructor drew it, to where it starts, in place.
    call: what PET's module gives of an image: (CT's module, PET's module, image).
    gated: whether PET passes gates and gains on its way to CT's answer. Then CT and PET run apart, because the same
        case in a larger batch or a longer sequence is not the same to the bit.
    """

    draw: Callable[[nn.Module], object]
    call: Callable[[nn.Module, nn.Module, Tensor], Tensor]
    gated: bool


def keep(module: nn.Module) -> nn.Module:
    """The module as it is."""
    return module


def call_own(_base: nn.Module, own: nn.Module, x: Tensor) -> Tensor:
    """What PET's own module gives."""
    found: Tensor = own(x)
    return found


PATHWAYS: Mapping[str, Pathway] = {
    "published": Pathway(draw=keep, call=call_own, gated=False),
    "copied": Pathway(draw=zero, call=shift, gated=False),
    "identity": Pathway(draw=zero, call=shift, gated=True),
}


def pathway_of(name: str, known: Sequence[str] = tuple(PATHWAYS), **openings: float) -> Pathway:
    """The start of this name.

    Args:
        known: those that the family has. openings: option -> how far its gates or gains are open at first.

    Raises:
        ValueError: the family has no such start, or a start without gates is to open some.
    """
    if name not in known:
        raise ValueError(f"unknown pathway '{name}'; known: {sorted(known)}")
    found = PATHWAYS[name]
    opened = sorted(option for option, opening in openings.items() if opening)
    if opened and not found.gated:
        raise ValueError(f"pathway '{name}' has no gates and gains, so {opened} must be 0; or name 'identity'")
    return found
