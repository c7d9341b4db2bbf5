"""FedEx-LoRA: factors are averaged, and what that misses of the mean product goes beside the frozen weight.

    Abar = sum_i w_i A_i,  B'bar = sum_i w_i B'_i;    C += s (sum_i w_i B'_i A_i - B'bar Abar)

What is missed is the weighted covariance of the factors, of rank <= (N - 1) r; it has the shape (d, k) of W0 and joins
the residual untransposed, weighted like the means. Exact, but how much goes where depends on each center's basis: all
centers must start the round from the same factors. Needs one rank for all. Source: Singhal et al. 2024 (arXiv
2410.09432); the paper adds it to the backbone, which here stays frozen.
"""

from collections.abc import Iterable

import numpy as np

from protocol.messages.payload import Payload
from protocol.messages.tensors import Tensors
from strategies.aggregation.contract import Aggregated, Base
from strategies.aggregation.low_rank_sum import Factors, LowRankSum, Matrix
from strategies.aggregation.product import Realisation, Realised, Start, aggregate_products, refuse_mixed_ranks


class FactorSums:
    """Running sums of products and of both factors; the scale s stands in b."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.products = LowRankSum(shape)
        self._b: Matrix = np.zeros(())
        self._a: Matrix = np.zeros(())

    def add(self, weight: float, b: Matrix, a: Matrix) -> None:
        """Count one center's b (d, r) and a (r, k), the same r each time."""
        self.products.add(weight, b, a)
        self._b = self._b + weight * b
        self._a = self._a + weight * a

    def means(self, total: float) -> Factors:
        """The weighted means of both factors: s B'bar (d, r) and Abar (r, k)."""
        return Factors(b=self._b / total, a=self._a / total)


def aggregate(shared: Tensors, payloads: Iterable[Payload], base: Base, moments: Tensors) -> Aggregated:
    """The shared state with mean factors, and what they miss in the residual; errors as `aggregate_products`.

    Raises:
        StudyError: centers have adapters of different rank.
    """
    refuse_mixed_ranks(base)
    return aggregate_products(shared, payloads, base, moments, realise=Realisation(FactorSums, finish))


def finish(sums: FactorSums, total: float, _start: Start) -> Realised:
    """Mean factors as adapter, mean product minus product of means into the residual."""
    means = sums.means(total)
    sums.products.add(-total, means.b, means.a)
    return Realised(adapter=means, to_residual=sums.products.svd(1 / total).tail(0))
