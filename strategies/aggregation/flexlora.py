"""FlexLoRA: the best approximation of the mean product at the shared rank; the rest is dropped and its energy logged.

    U S V' = SVD(M),  M = sum_i w_i s_i B'_i A_i;    s B' A = U_r S_r V_r';    tail_dropped = |M - s B' A|^2 / |M|^2

Exact when rank M <= r. Takes centers of any rank. Source: Bai et al. 2024 (arXiv 2402.11505).
"""

from collections.abc import Iterable

from protocol.messages.payload import Payload
from protocol.messages.tensors import Tensors
from strategies.aggregation.contract import Aggregated, Base
from strategies.aggregation.low_rank_sum import LowRankSum, Svd, refactor
from strategies.aggregation.product import Realisation, Realised, Start, aggregate_products


def aggregate(shared: Tensors, payloads: Iterable[Payload], base: Base, moments: Tensors) -> Aggregated:
    """The shared state with each module's mean product cut to the shared rank; errors as `aggregate_products`."""
    return aggregate_products(shared, payloads, base, moments, realise=Realisation(LowRankSum, finish))


def finish(products: LowRankSum, total: float, start: Start) -> Realised:
    """Head of the SVD as adapter; its tail is lost."""
    return cut(products.svd(1 / total), start)


def cut(update: Svd, start: Start) -> Realised:
    """An update cut to the shared rank: adapter near the old one, nothing for the residual, the lost share logged."""
    log = {"tail_dropped": update.tail_share(start.adapter.rank)}
    return Realised(adapter=refactor(update, start.adapter.a), to_residual=update.none(), log=log)
