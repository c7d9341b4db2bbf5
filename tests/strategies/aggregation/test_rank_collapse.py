"""Whether directions that only centers of higher rank can hold survive rounds of aggregation.

Where a mean counts a center of rank 2 as if it had said that all other directions are zero, they shrink by its weight
each round: the rank collapse of heterogeneous federated LoRA (Wu et al. 2026, arXiv 2602.13486, section 4). Here such a
center finds those directions in its frozen residual and the mean counts them back in (`residual.withheld`).

Centers of ranks 2, 4 and 8 with equal weights; energy is |M|^2 without the two strongest directions, against its start
or against the target's.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from protocol.messages.tensors import Tensors
from strategies.aggregation.contract import Base
from strategies.aggregation.linear_form import linear_form
from strategies.aggregation.low_rank_sum import Factors, dense_svd
from strategies.aggregation.residual import for_rank, product_of, residual_of
from strategies.aggregation.schemes import SCHEMES
from tests.support.adapted_module import A, B, M, base_of, sent_by, weight_of

RANKS = {"a": 2, "b": 4, "c": 8}
MIXED = sorted(name for name, scheme in SCHEMES.items() if scheme.mixed_ranks)
SIDE, ROUNDS = 16, 20
Matrix = NDArray[np.float64]
Train = Callable[[Matrix, Tensors, int, Base], Matrix]


def directions() -> Matrix:
    """A rank-8 matrix of singular values 1.7, 1.6 .. 1.0."""
    rng = np.random.default_rng(3)
    u, v = (np.linalg.qr(rng.normal(size=(SIDE, 8)))[0] for _ in range(2))
    return np.asarray((u * np.linspace(1.7, 1.0, 8)) @ v.T)


def higher_energy(matrix: Matrix) -> float:
    """What is left of |M|^2 beyond the two strongest directions."""
    return float(np.sum(dense_svd(matrix).s[2:] ** 2))


def return_what_came(found: Matrix, _loaded: Tensors, _rank: int, _base: Base) -> Matrix:
    return found


def learn_towards(target: Matrix) -> Train:
    """Half of the way to the best product of the center's rank beside what is frozen there."""

    def train(found: Matrix, loaded: Tensors, rank: int, _base: Base) -> Matrix:
        frozen = residual_of(M, loaded)
        best = dense_svd(target - frozen.b @ frozen.a).head(rank)
        return np.asarray(found + 0.5 * (best.b @ best.a - found))

    return train


def rounds_of(scheme: str, start: Matrix, train: Train, ranks: Mapping[str, int] = RANKS, **settings: float) -> Matrix:
    """The update of the module after `ROUNDS` rounds of a scheme."""
    base = base_of(np.zeros((SIDE, SIDE)), 8, 8.0, ranks, **settings)
    shared: Tensors = as_tensors(dense_svd(start).head(8), 8)
    for _ in range(ROUNDS):
        payloads = []
        for center, rank in ranks.items():
            loaded = for_rank(shared, rank, base)
            own = product_of(linear_form(M, loaded, base), base.alpha)
            trained = dense_svd(train(own.b @ own.a, loaded, rank, base)).head(rank)
            payloads.append(sent_by(center, as_tensors(trained, rank)))
        shared = SCHEMES[scheme].aggregate(shared, payloads, base, {}).shared
    return weight_of(shared, base)


def as_tensors(product: Factors, rank: int) -> Tensors:
    """An adapter of a rank at scale alpha / rank = 8 / rank; directions that are not there have b = 0."""
    spare = rank - product.rank
    a = np.concatenate([product.a, 0.01 * np.eye(SIDE)[:spare]])
    b = np.concatenate([product.b, np.zeros((SIDE, spare))], axis=1)
    return {A: a.astype(np.float32), B: (b * rank / 8.0).astype(np.float32)}


def published_flexlora(start: Matrix, train: Train) -> Matrix:
    """A mean that takes what a center cannot hold for zero: sum_i w_i P_i, cut to the shared rank."""
    mean = start
    for _ in range(ROUNDS):
        products = []
        for rank in RANKS.values():
            head = dense_svd(mean).head(rank)
            trained = train(head.b @ head.a, as_tensors(head, rank), rank, base_of(np.zeros((SIDE, SIDE)), 8, 8.0))
            cut = dense_svd(trained).head(rank)
            products.append(cut.b @ cut.a)
        mean = np.mean(products, axis=0)
    return mean


def test_without_what_low_ranks_hold_back_the_higher_directions_die_geometrically() -> None:
    """Directions 3 and 4 keep 2/3 a round, 5 to 8 a third: after 20 rounds (2/3)^40 = 9e-8 of their energy."""
    left = higher_energy(published_flexlora(directions(), return_what_came)) / higher_energy(directions())
    assert left == pytest.approx((1.5**2 + 1.4**2) * (2 / 3) ** 40 / higher_energy(directions()), rel=1e-3)


@pytest.mark.parametrize("scheme", ["flexlora", "flora", "product-exact"])
def test_a_scheme_that_sums_products_keeps_every_direction_over_rounds(scheme: str) -> None:
    assert rounds_of(scheme, directions(), return_what_came) == pytest.approx(directions(), abs=1e-4)


@pytest.mark.parametrize("scheme", ["flexlora", "flora", "product-exact"])
def test_centers_of_mixed_ranks_learn_a_target_of_the_highest_rank_whole(scheme: str) -> None:
    """What one center cannot hold it is not asked for: the others' directions reach their full length."""
    learned = rounds_of(scheme, np.zeros((SIDE, SIDE)), learn_towards(directions()))
    assert higher_energy(learned) / higher_energy(directions()) == pytest.approx(1, abs=0.04)
    alone = published_flexlora(np.zeros((SIDE, SIDE)), learn_towards(directions()))
    assert higher_energy(alone) / higher_energy(directions()) < 0.25


def test_ties_drops_small_entries_and_with_them_directions_but_not_by_rank() -> None:
    """All entries kept, nothing is lost; with the largest fifth alone as much is lost as where all have rank 8."""
    whole = rounds_of("ties", directions(), return_what_came, density=1.0)
    assert whole == pytest.approx(directions(), abs=1e-4)
    mixed, equal = (
        higher_energy(rounds_of("ties", directions(), return_what_came, ranks)) / higher_energy(directions())
        for ranks in (RANKS, dict.fromkeys(RANKS, 8))
    )
    assert mixed == pytest.approx(equal, abs=1e-3)
    assert mixed < 0.5


def test_every_scheme_of_mixed_ranks_is_looked_at_here() -> None:
    assert MIXED == ["flexlora", "flora", "product-exact", "ties"]
