"""The residual beside the frozen weight: its cap, what cutting it loses, and what centers of another rank load."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocol.errors import ConciliumError
from protocol.messages.tensors import content_hash
from strategies.aggregation import flora, product_exact
from strategies.aggregation.linear_form import LinearForm, flat
from strategies.aggregation.low_rank_sum import Factors
from strategies.aggregation.residual import append, for_rank, residual_of, withheld
from tests.support.adapted_module import (
    MAGNITUDE,
    RESIDUAL_A,
    RESIDUAL_B,
    A,
    B,
    M,
    base_of,
    error,
    sent_by,
    tensor,
    weight_of,
    world,
)

SHAPES = st.one_of(st.just((8, 11)), st.just((11, 8)), st.just((6, 2, 2, 1, 3)))


def diagonal(*values: float) -> Factors:
    """diag(values) as factors, without the columns that are zero."""
    full = np.diag(np.array(values))
    kept = np.flatnonzero(values)
    return Factors(b=full[:, kept], a=np.eye(len(values))[kept])


def dense(factors: Factors) -> np.ndarray:
    return factors.b @ factors.a


def test_factors_are_appended_until_the_cap() -> None:
    residual = append(M, diagonal(3, 0, 0), diagonal(0, 2, 0), diagonal(0, 0, 1), cap=2)
    assert dense(residual.factors).tolist() == np.diag([3.0, 2, 0]).tolist()
    assert (residual.factors.rank, residual.dropped) == (2, 0)


def test_the_cap_drops_the_smallest_direction_and_says_how_much() -> None:
    """Residual diag(100, 1, 0), adapter diag(0, 0, 100), cap 1: 1 of 10 000 + 1 + 10 000 is dropped."""
    residual = append(M, diagonal(100, 0, 0), diagonal(0, 1, 0), diagonal(0, 0, 100), cap=1)
    assert dense(residual.factors) == pytest.approx(np.diag([100.0, 0, 0]))
    assert residual.dropped == pytest.approx(1 / 20001)


def test_dropping_more_than_a_thousandth_is_refused_with_the_rank_that_is_needed() -> None:
    """diag(10, 9, 8, .1) at cap 1 drops 145.01 / 245.01 = 59.19 %; rank 3 would drop .01 / 245.01 = .004 %."""
    with pytest.raises(
        ConciliumError, match=rf"'{M}'.* to residual_rank 1 drops 59\.19%.*residual_rank to 3 or more.*rank"
    ):
        append(M, diagonal(10, 9, 0, 0), diagonal(0, 0, 8, 0.1), diagonal(0, 0, 0, 0), cap=1)


def test_a_residual_needs_no_more_columns_than_its_matrix_has() -> None:
    """Ten appended copies of diag(1, 2) fit in two columns, and nothing is dropped."""
    residual = diagonal(1, 2)
    for _ in range(9):
        residual = append(M, residual, diagonal(1, 2), diagonal(1, 1), cap=64).factors
    assert residual.rank == 2
    assert dense(residual) == pytest.approx(np.diag([10.0, 20]))


@given(st.integers(0, 10**6), st.integers(1, 6), SHAPES)
def test_the_logged_energy_is_the_error_that_was_made(seed, cap, shape) -> None:
    """T12: |W_uncapped - W_capped|^2 / |C + s B'A|^2 of the uncapped state, and the rank never passes the cap."""
    rng = np.random.default_rng(seed)
    rows, columns = shape[0], int(np.prod(shape[1:]))
    small = Factors(rng.normal(size=(rows, 3)) * 1e-3, rng.normal(size=(3, columns)))
    residual = Factors(rng.normal(size=(rows, 1)), rng.normal(size=(1, columns)))
    adapter = Factors(rng.normal(size=(rows, 2)), rng.normal(size=(2, columns)))
    after = append(M, residual, small, adapter, cap)
    lost = dense(residual) + dense(small) - dense(after.factors)
    update = dense(residual) + dense(small) + dense(adapter)
    assert after.factors.rank <= cap
    assert after.dropped == pytest.approx(np.sum(lost**2) / np.sum(update**2), rel=1e-6, abs=1e-20)


def test_many_rounds_stay_below_the_cap_and_log_each_loss() -> None:
    """T12 through the wire: eight rounds of changes at cap 3; every round's error is the one it logged."""
    case = world(1, (8, 11), 2, (2, 2), dora=False, residual=0, residual_rank=3)
    rng = np.random.default_rng(0)
    shared, losses = case.shared, []
    for _ in range(8):
        sent = [sent_by(c, {key: _nudged(shared[key], rng) for key in (A, B)}) for c in "ab"]
        wanted = np.mean([weight_of({**shared, **payload.tensors}, case.base) for payload in sent], axis=0)
        result = product_exact.aggregate(shared, sent, case.base, {})
        shared = result.shared
        update = wanted - flat(case.base.frozen[f"{M}.weight"])
        measured = np.sum((wanted - weight_of(shared, case.base)) ** 2) / np.sum(update**2)
        logged = result.log[f"residual_dropped/{M}"]
        assert measured == pytest.approx(logged, rel=1e-2, abs=1e-12)
        assert shared[RESIDUAL_A].shape[0] == shared[RESIDUAL_B].shape[1] <= 3
        losses.append(logged)
    assert max(losses) > 1e-9


def test_flora_beyond_the_cap_is_refused_by_name() -> None:
    case = world(1, (8, 11), 2, (2, 2, 2), dora=False, residual=0, residual_rank=1)
    with pytest.raises(ConciliumError, match=rf"module '{M}': cutting its residual"):
        flora.aggregate(case.shared, case.payloads, case.base, {})


@given(st.integers(0, 10**6), SHAPES, st.integers(1, 7), st.booleans())
@example(0, (8, 11), 2, True)
def test_a_center_of_any_rank_loads_the_same_weight(seed, shape, rank, dora) -> None:
    case = world(seed, shape, 3, (3,), dora=dora)
    loaded = for_rank(case.shared, rank, case.base)
    assert loaded[A].shape[0] == loaded[B].shape[1] == rank
    assert error(weight_of(loaded, case.base), weight_of(case.shared, case.base)) < 1e-5
    assert (MAGNITUDE in loaded) == dora
    assert all(array.dtype == np.float32 for array in loaded.values())


def test_rank_one_of_two_directions_by_hand() -> None:
    """alpha 2, shared rank 2 (s = 1): s B A = diag(4, 1). At rank 1 (s = 2): B A = diag(2, 0), residual diag(0, 1).

    Balanced sqrt 4 = 2 for A, 2 / scale 2 = 1 for B.
    """
    base = base_of(np.zeros((2, 2)), 2, 2.0)
    shared = {A: tensor([1, 0], [0, 1]), B: tensor([4, 0], [0, 1])}
    loaded = for_rank(shared, 1, base)
    assert loaded[A] == pytest.approx(np.array([[2, 0]]), abs=1e-6)
    assert loaded[B] == pytest.approx(np.array([[1], [0]]), abs=1e-6)
    assert flat(loaded[RESIDUAL_B]) @ flat(loaded[RESIDUAL_A]) == pytest.approx(np.diag([0.0, 1]), abs=1e-6)


def test_a_higher_rank_gets_fresh_rows_that_do_nothing_yet() -> None:
    """alpha 2, rank 1 to 2: scale 2 to 1, so B = 3 becomes 6; the second column is zero, the second row is drawn."""
    base = base_of(np.zeros((2, 2)), 1, 2.0)
    loaded = for_rank({A: tensor([1, 0]), B: tensor([3], [0])}, 2, base)
    assert loaded[B].tolist() == [[6, 0], [0, 0]]
    assert loaded[A][0].tolist() == [1, 0]
    assert loaded[A][1].any()
    assert RESIDUAL_A not in loaded


def test_the_shared_rank_loads_the_shared_bits() -> None:
    case = world(5, (8, 11), 3, (3,), dora=True)
    loaded = for_rank(case.shared, 3, case.base)
    assert content_hash(loaded) == content_hash(case.shared)
    assert not any(np.shares_memory(loaded[key], case.shared[key]) for key in loaded)


@pytest.mark.parametrize("rank", [1, 2, 6])
def test_a_fresh_adapter_stays_fresh_and_able_to_learn(rank) -> None:
    """B = 0 without magnitudes, as a study starts: B stays 0, A is no zero, and no magnitude is invented."""
    case = world(5, (8, 11), 3, (3,), dora=False, residual=0)
    fresh = {A: case.shared[A], B: np.zeros_like(case.shared[B])}
    loaded = for_rank(fresh, rank, case.base)
    assert set(loaded) == {A, B}
    assert not loaded[B].any()
    assert np.linalg.matrix_rank(loaded[A]) == rank
    assert loaded[A][:3] == pytest.approx(fresh[A][:rank], abs=1e-6)


def test_what_a_lower_rank_finds_in_its_residual_is_what_the_server_counts() -> None:
    """The very float32 numbers, computed twice."""
    case = world(5, (8, 11), 3, (3,), dora=False, residual=0)
    form = LinearForm(flat(case.shared[A]), flat(case.shared[B]), np.ones(8))
    sent, counted = residual_of(M, for_rank(case.shared, 1, case.base)), withheld(form, 1, case.base.alpha)
    assert sent.b.tolist() == counted.b.tolist()
    assert sent.a.tolist() == counted.a.tolist()
    assert withheld(form, 3, case.base.alpha).rank == withheld(form, 5, case.base.alpha).rank == 0


def _nudged(array, rng):
    return (array + rng.normal(size=array.shape) * 5e-2).astype(np.float32)
