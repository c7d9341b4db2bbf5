"""TIES-merging of updates: trim, elect a sign, average what agrees, then cut back to the shared rank.

Per module, entry by entry on dense D_i = s_i B'_i A_i (d, k), with weights w_i:

    trim    keep the entries of D_i whose magnitude is among the largest share `density`; all others are 0
    elect   gamma = sign(sum_i w_i D_i)                                            0 where both signs weigh the same
    merge   mean of the D_i with sign gamma: sum_agree w_i D_i / sum_agree w_i

then the best approximation of the shared rank; what it loses is logged as `tail_dropped`. Nonlinear, hence in product
space; row gains average linearly. A baseline for merging after a stage, not an exact scheme.

Streaming: which centers agree is known only after the last one, but both answers can be prepared. Each entry keeps the
mass and the weight of either sign, p = sum_{D>0} w D, n = sum_{D<0} w |D|, and their weights; the elected sign picks
p / weight or -n / weight. Memory: four dense float64 (d, k) arrays a module, whatever the number of centers.

Source: Yadav et al. 2023 (arXiv 2306.01708), algorithm 1, with weights; trimmed per module instead of over all at once.
"""

from collections.abc import Iterable

import numpy as np

from protocol.messages.payload import Payload
from protocol.messages.tensors import Tensors
from strategies.aggregation.contract import Aggregated, Base
from strategies.aggregation.flexlora import cut
from strategies.aggregation.low_rank_sum import Matrix, dense_svd
from strategies.aggregation.product import Realisation, Realised, Start, aggregate_products


class SignedMasses:
    """Per entry, what speaks for a positive and for a negative sign so far."""

    def __init__(self, shape: tuple[int, int], density: float) -> None:
        self.density = density
        self._mass = np.zeros((2, *shape))
        self._weight = np.zeros((2, *shape))

    def add(self, weight: float, b: Matrix, a: Matrix) -> None:
        """Count one center's trimmed update b a."""
        kept = trim(b @ a, self.density)
        for side, signed in enumerate((kept, -kept)):
            agrees = signed > 0
            self._mass[side][agrees] += weight * signed[agrees]
            self._weight[side][agrees] += weight

    def merge(self) -> Matrix:
        """Mean of the entries that agree with the elected sign; 0 where no sign wins."""
        means = np.divide(self._mass, self._weight, out=np.zeros_like(self._mass), where=self._weight > 0)
        positive, negative = self._mass
        return np.where(positive > negative, means[0], np.where(negative > positive, -means[1], 0.0))


def aggregate(shared: Tensors, payloads: Iterable[Payload], base: Base, moments: Tensors) -> Aggregated:
    """The shared state with TIES-merged updates; errors as `aggregate_products`."""
    realise = Realisation(lambda shape: SignedMasses(shape, base.settings.density), finish)
    return aggregate_products(shared, payloads, base, moments, realise=realise)


def finish(masses: SignedMasses, _total: float, start: Start) -> Realised:
    """The merged update, cut to the shared rank."""
    return cut(dense_svd(masses.merge()), start)


def trim(update: Matrix, density: float) -> Matrix:
    """The ceil(density * size) entries of largest magnitude and their equals; all others become 0."""
    magnitudes = np.abs(update).reshape(-1)
    count = int(np.ceil(density * magnitudes.size))
    threshold = np.partition(magnitudes, -count)[-count]
    return np.where(np.abs(update) >= threshold, update, 0.0)
