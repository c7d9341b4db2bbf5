"""LoRA-FAIR: mean A, and the B whose product with it is nearest to the mean product, pulled towards the mean B.

    B = argmin |B Abar - M|^2 + lambda |B - B'bar|^2 = (M Abar' + lambda B'bar) (Abar Abar' + lambda I)^-1

with M = sum_i w_i B'_i A_i, Abar and B'bar the weighted means, lambda = ridge > 0; lambda -> infinity gives B'bar. The
scale s is common and drops out. Approximate: `product_error` = |B Abar - M|^2 / |M|^2 (Frobenius) is logged. Needs one
rank for all centers.

Source: Bian et al. 2024 (arXiv 2411.14961), its server-side correction in closed form with squared Frobenius norms.
"""

from collections.abc import Iterable

import numpy as np

from protocol.messages.payload import Payload
from protocol.messages.tensors import Tensors
from strategies.aggregation.contract import Aggregated, Base
from strategies.aggregation.fedex_lora import FactorSums
from strategies.aggregation.low_rank_sum import Factors, Matrix
from strategies.aggregation.product import Realisation, Realised, Start, aggregate_products, refuse_mixed_ranks


def aggregate(shared: Tensors, payloads: Iterable[Payload], base: Base, moments: Tensors) -> Aggregated:
    """The shared state with mean A and corrected B; errors as `aggregate_products`.

    Raises:
        StudyError: centers have adapters of different rank.
    """
    refuse_mixed_ranks(base)
    return aggregate_products(shared, payloads, base, moments, realise=Realisation(FactorSums, finish))


def finish(sums: FactorSums, total: float, start: Start) -> Realised:
    """Mean A with the ridge solution for B, nothing for the residual, the error of the product logged."""
    means = sums.means(total)
    b = correct(sums.products.times(means.a.T) / total, means, start.base.settings.ridge)
    energy = sums.products.svd(1 / total).energy()
    sums.products.add(-total, b, means.a)
    missed = sums.products.svd(1 / total)
    error = missed.energy() / energy if energy else 0.0
    return Realised(adapter=Factors(b, means.a), to_residual=missed.none(), log={"product_error": error})


def correct(cross: Matrix, means: Factors, ridge: float) -> Matrix:
    """B (d, r) from M Abar' (d, r), the mean factors and lambda; the (r, r) matrix is symmetric."""
    gram = means.a @ means.a.T + ridge * np.eye(means.rank)
    return np.asarray(np.linalg.solve(gram, (cross + ridge * means.b).T).T)
