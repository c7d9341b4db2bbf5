"""Four readings of a map, and their sum back on it (VMamba, arXiv 2401.10166, section 4.2); channel last.

    k = 0 row by row    k = 1 column by column    k = 2, 3 the same two backwards
"""

import torch
from torch import Tensor


def cross_scan(x: Tensor) -> Tensor:
    """Maps (b, y, x, d) as four sequences (b, 4, y*x, d)."""
    rows, columns = x.flatten(1, 2), x.transpose(1, 2).flatten(1, 2)
    return torch.stack([rows, columns, rows.flip(1), columns.flip(1)], dim=1)


def cross_merge(sequences: Tensor, size_yx: tuple[int, int]) -> Tensor:
    """Four sequences (b, 4, y*x, d), each back in its place on the map, summed: (b, y, x, d)."""
    y, x = size_yx
    rows = sequences[:, 0] + sequences[:, 2].flip(1)
    columns = sequences[:, 1] + sequences[:, 3].flip(1)
    return rows.unflatten(1, (y, x)) + columns.unflatten(1, (x, y)).transpose(1, 2)
