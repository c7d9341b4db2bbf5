"""How an update lies beside those of the other centers of its round.

    cos_c = <u_c, U - u_c> / (|u_c| |U - u_c|),    U = sum_j u_j,  u_j what center j sent minus where it began

Updates are read twice, one at a time. A tensor that only one center sent, or of another shape than the first's, has
nothing beside it and is left out.
"""

import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

Update = Mapping[str, NDArray[np.float64]]


def directions(read: Callable[[], Iterable[tuple[str, Update]]]) -> dict[str, float]:
    """Center -> cos_c; without the centers for which it is undefined.

    Args:
        read: gives each center's update anew, the same each time.
    """
    total: dict[str, NDArray[np.float64]] = {}
    for _, update in read():
        for key, array in update.items():
            if key not in total:
                total[key] = array.copy()
            elif total[key].shape == array.shape:
                total[key] += array
    found = {center: _cosine(update, total) for center, update in read()}
    return {center: cosine for center, cosine in found.items() if cosine is not None}


def _cosine(update: Update, total: Update) -> float | None:
    product = own = other = 0.0
    for key, array in update.items():
        if array.shape != total[key].shape:
            continue
        rest = total[key] - array
        product += float(np.vdot(array, rest))
        own += float(np.vdot(array, array))
        other += float(np.vdot(rest, rest))
    return product / math.sqrt(own * other) if own > 0 and other > 0 else None
