"""The orders in which scans read a map or a volume, and the sum of what they give, back in its place; channel last.

An order names the axes from the outermost to the innermost, whose index runs fastest, and whether it runs backwards.
Voxels numbered 1 + 9z + 3y + x on a cube of 3 are read

    axial      1, 2, 3, 4, ..., 27                 nest (z, y, x)
    sagittal   1, 10, 19, 2, 11, 20, ..., 27       nest (y, x, z)
    coronal    1, 10, 19, 4, 13, 22, 7, ..., 27    nest (x, y, z)

as figure 1 of ClinicalFMamba prints them (arXiv 2508.03008). Any box will do, whatever its sides.
Several sequences lie in memory as `fusion_models.ssm.cross_scan` lays them: (b, l, k, d), time outermost.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fusion_models.ssm.cross_scan import stack_sequences


@dataclass(frozen=True)
class ScanOrder:
    """One order.

    Attributes:
        axes: of the map or volume, the innermost last. backwards: from the last position to the first.
    """

    axes: tuple[int, ...]
    backwards: bool = False


def both_ways(*orders: ScanOrder) -> tuple[ScanOrder, ...]:
    """Each order, and after it the same backwards."""
    return tuple(each for order in orders for each in (order, replace(order, backwards=True)))


ROWS, COLUMNS = ScanOrder((0, 1)), ScanOrder((1, 0))
AXIAL, SAGITTAL, CORONAL = ScanOrder((0, 1, 2)), ScanOrder((1, 2, 0)), ScanOrder((2, 1, 0))
FOUR_DIRECTIONS = both_ways(ROWS, COLUMNS)
TRI_PLANE = (AXIAL, SAGITTAL, CORONAL)
SIX_DIRECTIONS = both_ways(*TRI_PLANE)


def read(x: Tensor, order: ScanOrder) -> Tensor:
    """Maps (b, *size, d) as the sequence (b, l, d) of one order."""
    sequence = x.permute(0, *(axis + 1 for axis in order.axes), x.ndim - 1).flatten(1, -2)
    return sequence.flip(1) if order.backwards else sequence


def read_all(x: Tensor, orders: Sequence[ScanOrder]) -> Tensor:
    """Maps (b, *size, d) as one sequence an order: (b, k, l, d)."""
    return stack_sequences([read(x, order) for order in orders])


def merge(sequences: Tensor, size: Sequence[int], orders: Sequence[ScanOrder]) -> Tensor:
    """Sequences (b, k, l, d), each back in its place on the map, summed: (b, *size, d)."""
    summed: dict[tuple[int, ...], Tensor] = {}
    for sequence, order in zip(sequences.transpose(1, 2).unbind(2), orders, strict=True):
        forwards = sequence.flip(1) if order.backwards else sequence
        summed[order.axes] = summed[order.axes] + forwards if order.axes in summed else forwards
    placed = [_place(sequence, size, axes) for axes, sequence in summed.items()]
    return placed[0] if len(placed) == 1 else torch.stack(placed).sum(0)


def _place(sequence: Tensor, size: Sequence[int], axes: tuple[int, ...]) -> Tensor:
    """A sequence (b, l, d) that ran forwards along `axes`: (b, *size, d)."""
    nested = sequence.unflatten(1, [size[axis] for axis in axes])
    return nested.permute(0, *(axes.index(axis) + 1 for axis in range(len(axes))), nested.ndim - 1)
