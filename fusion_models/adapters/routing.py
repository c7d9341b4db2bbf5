"""Adapter banks by modality in one projection: what a row is made of decides which banks act on it.

    h = W x + sum over the row's banks of s B (A x)

    row                                         banks
    of CT, of PET, the other absent             its own
    of CT, of PET, the other present            its own, fusion
    of a map that CT and PET were fused into    ct, pet, fusion
    of neither (EHR's token)                    none

Without PET only the bank of CT is reached, and PET alone reaches nothing but its own. Each bank is a LoRA of a module
path of its own, `M.ct_bank`, `M.pet_bank`, `M.fusion_bank`; the weight W stays M's. A network says whose rows its calls
bring (`rows_of`, `fused_rows`), around those calls: what it said ends with them, whatever they raise. A projection that
is called without is an error, so no row goes unrouted; nor does one that is computed again in backward.
"""

import copy
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor, nn

BANKS: Mapping[str, frozenset[str]] = {
    "ct": frozenset({"ct"}),
    "pet": frozenset({"pet"}),
    "fusion": frozenset({"ct", "pet"}),
}
"""Bank -> the modalities that are present where it acts."""
ENDING = "_bank"


@dataclass(frozen=True)
class Part:
    """So many successive rows, None for all there are, and the banks that act on them."""

    rows: int | None
    banks: tuple[str, ...]


@dataclass(frozen=True)
class Rows:
    """The parts of an input along an axis."""

    parts: tuple[Part, ...]
    axis: int


_said: ContextVar[Rows | None] = ContextVar("rows", default=None)


@contextmanager
def rows_of(counts: Mapping[str, int], *, axis: int, beside: Collection[str] = ()) -> Iterator[None]:
    """Within, inputs of projections hold rows of one modality after another.

    Args:
        counts: what the rows are of -> how many there are, in order.
        axis: of the input, along which they lie.
        beside: modalities of the same cases that other calls bring.
    """
    present = {*counts, *beside}
    with _say(Rows(tuple(Part(n, _banks({name}, present)) for name, n in counts.items()), axis)):
        yield


@contextmanager
def fused_rows(present: Collection[str]) -> Iterator[None]:
    """Within, every row of a projection's input is made of all the modalities that are present."""
    with _say(Rows((Part(None, _banks(present, present)),), 0)):
        yield


@contextmanager
def _say(rows: Rows) -> Iterator[None]:
    token = _said.set(rows)
    try:
        yield
    finally:
        _said.reset(token)


def _banks(of: Collection[str], present: Collection[str]) -> tuple[str, ...]:
    """The banks of rows made of some modalities: those of each, and those of all that are present beside it."""
    return tuple(bank for bank, needed in BANKS.items() if needed <= set(present) and needed & set(of))


BANKABLE = (nn.Linear, nn.Conv2d, nn.Conv3d)


class RoutedProjection(nn.Module):
    """A projection with one module a bank beside it, which `inject` then gives an adapter.

    Raises:
        ValueError: the projection is of a kind that has no banks.
    """

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__()
        self.base_layer = base_layer
        for bank in BANKS:
            self.add_module(f"{bank}{ENDING}", _silent(base_layer))

    def forward(self, x: Tensor) -> Tensor:
        """W x and the banks of each row.

        Raises:
            ValueError: nothing says whose rows these are, or they are not as many as was said.
        """
        rows = _said.get()
        if rows is None:
            raise ValueError(
                "adapter banks by modality need to know whose rows a projection is given, and this call says nothing: "
                'call it within rows_of or fused_rows, compute nothing again in backward, or use routing = "shared"'
            )
        h = self.base_layer(x)
        if len(rows.parts) == 1:
            _check(rows, x)
            return self._add(h, x, rows.parts[0].banks)
        sizes = _check(rows, x)
        parts = zip(h.split(sizes, rows.axis), x.split(sizes, rows.axis), rows.parts, strict=True)
        return torch.cat([self._add(own, of, part.banks) for own, of, part in parts], dim=rows.axis)

    def _add(self, h: Tensor, x: Tensor, banks: Sequence[str]) -> Tensor:
        for bank in banks:
            h = h + self.get_submodule(f"{bank}{ENDING}")(x).to(h.dtype)
        return h


def insert_banks(model: nn.Module, targets: Sequence[str]) -> list[str]:
    """Put banks beside projections, in place.

    Args:
        model: the network.
        targets: module paths, in full.

    Returns:
        The paths of the banks, as adapter targets.

    Raises:
        ValueError: a target is of a kind that has no banks.
    """
    for target in targets:
        parent, _, name = target.rpartition(".")
        setattr(model.get_submodule(parent), name, RoutedProjection(model.get_submodule(target)))
    return [f"{target}.{bank}{ENDING}" for target in targets for bank in BANKS]


def _silent(layer: nn.Module) -> nn.Module:
    """A twin of a projection that shares its weight and adds nothing: what peft wraps where W is applied already.

    It keeps the projection's class, of which peft makes the factor A of a convolution.
    """
    if type(layer) not in BANKABLE:
        raise ValueError(f"{layer} cannot have adapter banks; known are {sorted(kind.__name__ for kind in BANKABLE)}")
    twin = copy.copy(layer)
    twin.__dict__["forward"] = _zero
    return twin


def _zero(x: Tensor) -> Tensor:
    """Zero, which any shape may be added to."""
    return x.new_zeros(())


def _check(rows: Rows, x: Tensor) -> list[int]:
    sizes = [x.shape[rows.axis] if part.rows is None else part.rows for part in rows.parts]
    if sum(sizes) != x.shape[rows.axis]:
        raise ValueError(
            f"a projection is given {x.shape[rows.axis]} rows on axis {rows.axis} of {tuple(x.shape)}, expected "
            f"{sizes} of the modalities in turn"
        )
    return sizes
