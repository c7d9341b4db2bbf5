"""Four readings of a map, and their sum back on it (VMamba, arXiv 2401.10166, section 4.2); channel last.

    k = 0 row by row    k = 1 column by column    k = 2, 3 the same two backwards

Four sequences lie in memory as (b, l, 4, d), channel innermost and time outermost, in both passes: what a scan works
through step by step is then contiguous, and (b, 4d, l) is a view.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

DIRECTIONS = 4


def reading(x: Tensor, k: int) -> Tensor:
    """Maps (b, y, x, d) as the sequence (b, y*x, d) of direction k."""
    sequence = (x.transpose(1, 2) if k % 2 else x).flatten(1, 2)
    return sequence.flip(1) if k >= 2 else sequence


def stack_sequences(sequences: Sequence[Tensor]) -> Tensor:
    """Four sequences (b, l, d), in the order of the directions, as (b, 4, l, d)."""
    return torch.stack(list(sequences), dim=2).transpose(1, 2)


def cross_scan(x: Tensor) -> Tensor:
    """Maps (b, y, x, d) as four sequences (b, 4, y*x, d)."""
    rows, columns = reading(x, 0), reading(x, 1)
    return stack_sequences([rows, columns, rows.flip(1), columns.flip(1)])


def cross_merge(sequences: Tensor, size_yx: tuple[int, int]) -> Tensor:
    """Four sequences (b, 4, y*x, d), each back in its place on the map, summed: (b, y, x, d)."""
    y, x = size_yx
    rows, columns, rows_back, columns_back = sequences.transpose(1, 2).unbind(2)
    rows, columns = rows + rows_back.flip(1), columns + columns_back.flip(1)
    return rows.unflatten(1, (y, x)) + columns.unflatten(1, (x, y)).transpose(1, 2)
