"""FLoRA: all of the mean product goes beside the frozen weight, and the adapter starts afresh.

    C += sum_i w_i s_i B'_i A_i;    A ~ U(-1/sqrt k, 1/sqrt k) from the base's seed,  B = 0

The factors P = [w_i s_i B'_i], Q = [A_i] are exact for any ranks, and so is the next effective weight; the paper merges
P Q into the backbone, here it joins the residual and the backbone stays frozen. The residual grows by up to
min(sum r_i, d, k) a round, so its cap is reached soonest by this scheme. Source: Wang et al. 2024 (arXiv 2409.05976).
"""

from collections.abc import Iterable

import numpy as np

from protocol.messages.payload import Payload
from protocol.messages.tensors import Tensors
from strategies.aggregation.contract import Aggregated, Base
from strategies.aggregation.low_rank_sum import Factors, LowRankSum
from strategies.aggregation.product import Realisation, Realised, Start, aggregate_products
from strategies.aggregation.residual import kaiming_rows


def aggregate(shared: Tensors, payloads: Iterable[Payload], base: Base, moments: Tensors) -> Aggregated:
    """The shared state with the mean product in the residual and a fresh adapter; errors as `aggregate_products`."""
    return aggregate_products(shared, payloads, base, moments, realise=Realisation(LowRankSum, finish))


def finish(products: LowRankSum, total: float, start: Start) -> Realised:
    """All of the SVD into the residual, a zero product as adapter."""
    d, k = products.shape
    rank = start.adapter.rank
    fresh = kaiming_rows(rank, k, start.module, start.base.seed)
    return Realised(adapter=Factors(np.zeros((d, rank)), fresh), to_residual=products.svd(1 / total).tail(0))
