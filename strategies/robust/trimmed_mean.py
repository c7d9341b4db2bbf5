"""The mean of what is left of each entry when its f largest and f smallest values are gone.

    mean_t[e] = sum over i in K_t,e of a_i x_i,t[e] / sum over i in K_t,e of a_i       a_i the share of center i
    K_t,e     the centers without the f largest and the f smallest of x_.,t[e]         n >= 2 f + 1

What is left of an entry lies between honest values, wherever f liars go. It is taken in the coordinates in which a
scheme averages: of factors that is right where one of them is common to all centers, since entries of B and A mean
nothing where a center may turn both. Memory: the averaged tensors of all centers.

Yin et al. 2018 (arXiv 1803.01498), definition 2, with shares.
"""

import numpy as np
from numpy.typing import NDArray

from protocol.errors import PayloadError
from strategies.robust.contract import Compared, Weighing, as_they_are


def fewest(liars: int) -> int:
    """Something is left."""
    return 2 * liars + 1


def weigh(compared: Compared) -> Weighing:
    """The shares as they are; what is left out is decided entry by entry."""
    return as_they_are(compared.shares)


class TrimmedMean:
    """What was added for each key, until the mean is asked for; in the place of a running mean.

    Args:
        liars: f.
    """

    def __init__(self, liars: int) -> None:
        self._liars = liars
        self._values: dict[str, list[NDArray[np.float64]]] = {}
        self._weights: dict[str, list[float]] = {}

    def add(self, key: str, array: NDArray[np.floating], weight: float) -> None:
        """Count `array` with `weight`; weight 0 counts nothing.

        Raises:
            PayloadError: the shape differs from what `key` had so far.
        """
        if weight == 0:
            return
        values = self._values.setdefault(key, [])
        if values and values[0].shape != array.shape:
            raise PayloadError(
                f"tensor '{key}' arrived in shape {array.shape}, expected {values[0].shape} as sent before; "
                "all centers must use the rank and targets of the study"
            )
        values.append(np.array(array, dtype=np.float64))
        self._weights.setdefault(key, []).append(weight)

    def means(self) -> dict[str, NDArray[np.float64]]:
        """The trimmed mean of every key, in key order; begins anew.

        Raises:
            PayloadError: a key has no more than twice as many values as are left out at either end.
        """
        values, self._values = self._values, {}
        weights, self._weights = self._weights, {}
        return {key: trimmed_mean(key, values[key], weights[key], self._liars) for key in sorted(values)}


def trimmed_mean(key: str, values: list[NDArray[np.float64]], weights: list[float], liars: int) -> NDArray[np.float64]:
    """The trimmed mean of arrays of one shape.

    Raises:
        PayloadError: there are too few.
    """
    if len(values) < fewest(liars):
        raise PayloadError(
            f"tensor '{key}' came from {len(values)} center(s), expected at least {fewest(liars)} for a trimmed mean "
            f"with {liars} liar(s); lower `liars`, or wait for more centers"
        )
    stacked = np.stack(values)
    order = np.argsort(stacked, axis=0, kind="stable")[liars : len(values) - liars]
    kept = np.take_along_axis(stacked, order, axis=0)
    own = np.array(weights)[order]
    return np.asarray((kept * own).sum(axis=0) / own.sum(axis=0))
