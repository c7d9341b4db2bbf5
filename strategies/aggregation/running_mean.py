"""Weighted mean per tensor, one contribution at a time: memory does not grow with the number of centers.

    mean_t = sum_c w_c,t x_c,t / sum_c w_c,t        over the centers c that contributed to tensor t

Sums run in float64 in the order of the calls. A float32 has 24 bits and a float64 53, so with integer weights that sum
to less than 2**29 every product and sum of equal tensors is exact and the mean is that tensor; with other weights N
contributions leave a relative error below N * 2**-52, far less than half a float32 step (2**-25), so that rounding to
float32 gives the tensor back too.
"""

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from protocol.errors import PayloadError

BLOCK = 32_768  # values: 256 KiB of float64, so that a block is multiplied and added before it leaves the cache


class Average(Protocol):
    """What brings the contributions of centers to one array a key."""

    def add(self, key: str, array: NDArray[np.floating], weight: float) -> None:
        """Count `array` for `key`; weight 0 counts nothing."""

    def means(self) -> dict[str, NDArray[np.float64]]:
        """What became of every key that has weight, in key order."""


class RunningMean:
    """Running sums w x and w per key: one float64 array a key and one block, whatever the number of contributions."""

    def __init__(self) -> None:
        self._sums: dict[str, NDArray[np.float64]] = {}
        self._weights: dict[str, float] = {}
        self._block = np.empty(BLOCK, dtype=np.float64)

    def add(self, key: str, array: NDArray[np.floating], weight: float) -> None:
        """Count `array` with `weight` in the mean of `key`; weight 0 counts nothing, and the array is not looked at.

        Raises:
            PayloadError: the weight is negative or not finite, or the shape differs from what `key` had so far.
        """
        if not (math.isfinite(weight) and weight >= 0):
            raise PayloadError(
                f"tensor '{key}' came with weight {weight}, expected a finite number of at least 0; "
                "check the case counts the center reported"
            )
        if weight == 0:
            return
        if key not in self._sums:
            self._sums[key] = np.asarray(np.multiply(array, weight, dtype=np.float64, order="C"))
        else:
            self._accumulate(key, array, weight)
        self._weights[key] = self.weight(key) + weight

    def weight(self, key: str) -> float:
        """Sum of the weights counted for `key`; 0 where nothing was."""
        return self._weights.get(key, 0.0)

    def means(self) -> dict[str, NDArray[np.float64]]:
        """The mean of every key that has weight, in key order; hands over the sums' own arrays and begins anew."""
        sums, self._sums = self._sums, {}
        weights, self._weights = self._weights, {}
        return {key: np.divide(sums[key], weights[key], out=sums[key]) for key in sorted(sums)}

    def _accumulate(self, key: str, array: NDArray[np.floating], weight: float) -> None:
        """sums += weight * array, a block at a time: no temporary of the tensor's size."""
        total = self._sums[key]
        if array.shape != total.shape:
            raise PayloadError(
                f"tensor '{key}' arrived in shape {array.shape}, expected {total.shape} as sent before; "
                "all centers must use the rank and targets of the study"
            )
        sums, values = total.reshape(-1), array.reshape(-1)
        for start in range(0, sums.size, BLOCK):
            part = sums[start : start + BLOCK]
            block = self._block[: part.size]
            # A cast by assignment and a product in place are faster than one np.multiply that casts while it runs.
            block[...] = values[start : start + BLOCK]
            block *= weight
            part += block
