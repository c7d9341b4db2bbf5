"""PRODUCT-EXACT: the strongest directions of the mean product as the next adapter, all others into the residual.

    U S V' = SVD(sum_i w_i s_i B'_i A_i);    B' = U_r S_r^1/2 / s,  A = S_r^1/2 V_r'   (U_>r, S_>r, V_>r) -> residual

The effective weight of every module is the weighted mean of the centers' (to float32 rounding, as long as the residual
stays below its cap), for factors trained jointly and for ranks that differ between centers. It depends on the
products only, so no center's choice of basis matters. The new A is rotated towards the old one (Procrustes), but the
factors are others than the centers', so optimiser moments start anew each round.

Memory: a module's sum holds sum_i r_i (d + k) float64 numbers while that is less than its d x k matrix, and d k from
there on; never more than about 3 d k at work, whatever the number of centers. Time O((d + k) R^2) with R = sum_i r_i,
then O(d k min(d, k)) once dense. Source: this project; the exact residual follows FedEx-LoRA (arXiv 2410.09432).
"""

from collections.abc import Iterable

from protocol.messages.payload import Payload
from protocol.messages.tensors import Tensors
from strategies.aggregation.contract import Aggregated, Base
from strategies.aggregation.low_rank_sum import LowRankSum, refactor
from strategies.aggregation.product import Realisation, Realised, Start, aggregate_products


def aggregate(shared: Tensors, payloads: Iterable[Payload], base: Base, moments: Tensors) -> Aggregated:
    """The shared state whose effective weights are the mean of the centers'; errors as `aggregate_products`."""
    return aggregate_products(shared, payloads, base, moments, realise=Realisation(LowRankSum, finish))


def finish(products: LowRankSum, total: float, start: Start) -> Realised:
    """Head of the SVD as adapter, tail into the residual."""
    mean = products.svd(1 / total)
    return Realised(adapter=refactor(mean, start.adapter.a), to_residual=mean.tail(start.adapter.rank))
