"""Sums of low-rank products, and their way back into an adapter."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.aggregation import product_exact
from strategies.aggregation.low_rank_sum import Factors, LowRankSum, refactor, svd_of
from tests.support.adapted_module import (
    A,
    B,
    error,
    sent_by,
    world,
)


@given(st.integers(0, 10**6), st.integers(1, 4))
def test_no_rotation_brings_the_new_rows_nearer_to_the_old(seed, rank) -> None:
    rng = np.random.default_rng(seed)
    old = rng.normal(size=(rank, 7))
    new = refactor(svd_of(Factors(rng.normal(size=(6, rank)), rng.normal(size=(rank, 7)))), old)
    for _ in range(20):
        other = np.linalg.qr(rng.normal(size=(rank, rank)))[0]
        assert np.linalg.norm(new.a - old) <= np.linalg.norm(other @ new.a - old) + 1e-12
    assert new.a @ new.a.T == pytest.approx(new.b.T @ new.b, abs=1e-9)


def test_directions_without_weight_keep_rows_of_their_own() -> None:
    """A mean of rank 1 in an adapter of rank 3: A keeps rank 3, B has rank 1."""
    case = world(2, (6, 5), 3, (3,), dora=False, residual=0)
    b = case.shared[B] * np.array([1, 0, 0], dtype=np.float32)
    result = product_exact.aggregate(case.shared, [sent_by("a", {A: case.shared[A], B: b})], case.base, {}).shared
    assert np.linalg.matrix_rank(result[A], tol=1e-3) == 3
    assert np.linalg.matrix_rank(result[B], tol=1e-3) == 1


def test_spare_rows_lie_outside_the_direction_in_use() -> None:
    """The update is along (1, 0, 0); of the old rows (10, 0, 0) and (0, 1, 0) only the second is a new direction."""
    update = svd_of(Factors(np.array([[4.0], [0]]), np.array([[1.0, 0, 0]])))
    found = refactor(update, np.array([[10.0, 0, 0], [0, 1, 0]]))
    assert found.a == pytest.approx(np.array([[2.0, 0, 0], [0, 1, 0]]))
    assert found.b == pytest.approx(np.array([[2.0, 0], [0, 0]]))


@given(st.integers(0, 10**6))
def test_a_sum_never_holds_more_than_the_dense_sum(seed) -> None:
    """300 centers of rank 3 on (8, 20): at most 160 numbers are kept, and the sum stays exact."""
    rng = np.random.default_rng(seed)
    total, expected = LowRankSum((8, 20)), np.zeros((8, 20))
    for _ in range(300):
        b, a = rng.normal(size=(8, 3)), rng.normal(size=(3, 20))
        total.add(0.5, b, a)
        expected += 0.5 * b @ a
        assert total.numbers <= 160
    found = total.svd()
    assert error(found.u * found.s @ found.vt, expected) < 1e-10
    assert error(total.times(np.eye(20)), expected) < 1e-10


def test_a_sum_below_that_forms_no_dense_matrix() -> None:
    """Rank 4 on (1000, 900) keeps 4 * 1900 numbers, and its decomposition has rank 4."""
    rng = np.random.default_rng(0)
    total = LowRankSum((1000, 900))
    for _ in range(2):
        total.add(1.0, rng.normal(size=(1000, 2)), rng.normal(size=(2, 900)))
    assert total.numbers == 4 * 1900
    assert total.svd().s.size == 4
