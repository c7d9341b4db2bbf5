"""The next effective weight is the weighted mean of the centers' own."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocol.messages.tensors import content_hash
from strategies.aggregation import fedex_lora, fedit, flora, product_exact
from strategies.aggregation.contract import Aggregate
from strategies.aggregation.linear_form import LinearForm, flat, linear_form
from strategies.aggregation.low_rank_sum import Factors, LowRankSum, svd_of
from strategies.aggregation.product import Start
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

EXACT: dict[str, Aggregate] = {"product-exact": product_exact.aggregate, "flora": flora.aggregate}
ALL: dict[str, Aggregate] = {**EXACT, "fedex-lora": fedex_lora.aggregate}
SHAPES = st.one_of(
    st.tuples(st.integers(4, 12), st.integers(4, 12)),
    st.tuples(st.integers(4, 9), st.integers(2, 3), st.just(2), st.just(1), st.just(3)),
)


@pytest.mark.parametrize("scheme", ALL)
@given(st.integers(0, 10**6), SHAPES, st.integers(1, 4), st.integers(1, 5), st.booleans())
def test_the_next_weight_is_the_mean_of_the_centers_weights(scheme, seed, shape, rank, centers, dora) -> None:
    """T1 through the wire, in float32."""
    case = world(seed, shape, rank, (rank,) * centers, dora=dora)
    result = ALL[scheme](case.shared, case.payloads, case.base, {})
    assert error(weight_of(result.shared, case.base), case.mean_weight()) < 1e-5


@pytest.mark.parametrize("scheme", EXACT)
@given(
    st.integers(0, 10**6), SHAPES, st.integers(1, 4), st.lists(st.integers(1, 6), min_size=1, max_size=4), st.booleans()
)
@example(1, (8, 8), 3, [1, 3, 6], True)
def test_centers_of_other_rank_count_exactly(scheme, seed, shape, rank, ranks, dora) -> None:
    """T1 and T9: ranks below and above the shared one, each with its own scale alpha / r_i and its own residual."""
    case = world(seed, shape, rank, tuple(ranks), dora=dora)
    result = EXACT[scheme](case.shared, case.payloads, case.base, {})
    assert error(weight_of(result.shared, case.base), case.mean_weight()) < 1e-5


@pytest.mark.parametrize(
    "finish", [product_exact.finish, flora.finish, fedex_lora.finish], ids=lambda finish: finish.__module__
)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 12), st.integers(1, 4), st.integers(1, 6))
def test_the_sum_of_products_is_exact_in_float64(finish, seed, d, k, rank, centers) -> None:
    """T1 without the wire's rounding: adapter + what joins the residual = sum_i w_i b_i a_i."""
    rng = np.random.default_rng(seed)
    sums = fedex_lora.FactorSums((d, k)) if finish is fedex_lora.finish else LowRankSum((d, k))
    expected, total = np.zeros((d, k)), 0.0
    for weight in rng.uniform(0.1, 9, size=centers):
        b, a = rng.normal(size=(d, rank)), rng.normal(size=(rank, k))
        sums.add(weight, b, a)
        expected += weight * b @ a
        total += weight
    adapter = Factors(rng.normal(size=(d, rank)), rng.normal(size=(rank, k)))
    realised = finish(sums, total, Start(M, adapter, base_of(rng.normal(size=(d, k)), rank, 1.0)))
    found = realised.adapter.b @ realised.adapter.a + realised.to_residual.b @ realised.to_residual.a
    assert realised.adapter.a.shape == (rank, k)
    assert error(found, expected / total) < 1e-10


def test_two_centers_split_into_adapter_and_residual() -> None:
    """Rank 1, alpha 1, W0 = I. Weights 3/4 and 1/4: products (4, 0)'(1, 0) and (0, 4)'(0, 1).

    M = diag(3, 1). The strongest direction 3 e1 e1' is the adapter, balanced: |A| = |B| = sqrt 3, and A keeps the sign
    of the old A = (1, 0). The tail e2 e2' is the residual. W = I + M = diag(4, 2).
    """
    base = base_of(np.eye(2), 1, 1.0)
    shared = {A: tensor([1, 0]), B: tensor([0], [0])}
    payloads = [
        sent_by("a", {A: tensor([1, 0]), B: tensor([4], [0])}, cases=3),
        sent_by("b", {A: tensor([0, 1]), B: tensor([0], [4])}, cases=1),
    ]
    result = product_exact.aggregate(shared, payloads, base, {})
    assert result.shared[A] == pytest.approx(np.array([[3**0.5, 0]]), abs=1e-6)
    assert result.shared[B] == pytest.approx(np.array([[3**0.5], [0]]), abs=1e-6)
    assert flat(result.shared[RESIDUAL_B]) @ flat(result.shared[RESIDUAL_A]) == pytest.approx(
        np.diag([0.0, 1]), abs=1e-6
    )
    assert weight_of(result.shared, base) == pytest.approx(np.diag([4.0, 2]), abs=1e-6)
    assert result.log[f"residual_rank/{M}"] == 1


def test_two_dora_centers_average_their_row_gains() -> None:
    """W0 = I, B = 0: d = m. Gains (1, 1) and (3, 5) with equal weight: d = (2, 3), W = diag(2, 3); B stays 0."""
    base = base_of(np.eye(2), 1, 1.0)
    shared = {A: tensor([1, 0]), B: tensor([0], [0])}
    payloads = [
        sent_by("a", {**shared, MAGNITUDE: np.array([1, 1], dtype=np.float32)}),
        sent_by("b", {**shared, MAGNITUDE: np.array([3, 5], dtype=np.float32)}),
    ]
    for aggregate in ALL.values():
        result = aggregate(shared, payloads, base, {}).shared
        assert result[MAGNITUDE].tolist() == [2, 3]
        assert result[B].tolist() == [[0], [0]]
        assert weight_of(result, base) == pytest.approx(np.diag([2.0, 3]))


@given(st.integers(0, 10**6), st.booleans())
def test_a_center_may_write_its_update_in_any_basis(seed, dora) -> None:
    """T4: (B R, R^-1 A) is the same update. The guard: averaging factors does not pass this test."""
    case = world(seed, (8, 10), 3, (3, 3, 3), dora=dora)
    rng = np.random.default_rng(seed)
    turned = []
    for payload in case.payloads:
        basis = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        a, b = flat(payload.tensors[A]), flat(payload.tensors[B])
        moved = {A: (basis.T @ a).astype(np.float32), B: (b @ basis).astype(np.float32)}
        turned.append(sent_by(payload.center, {**payload.tensors, **moved}, payload.support["peft"]))

    def change(aggregate: Aggregate) -> float:
        before, after = (aggregate(case.shared, payloads, case.base, {}) for payloads in (case.payloads, turned))
        return error(weight_of(after.shared, case.base), weight_of(before.shared, case.base))

    assert change(product_exact.aggregate) < 1e-5
    assert change(fedit.aggregate) > 1e-2


@pytest.mark.parametrize("scheme", ALL)
@given(st.integers(0, 10**6), st.booleans(), st.lists(st.integers(1, 99), min_size=2, max_size=4))
def test_identical_centers_give_that_center(scheme, seed, dora, cases) -> None:
    """T3, at any weights, and T6 with one center; nothing is left for the residual where the adapter has room."""
    case = world(seed, (7, 9), 2, (2,), dora=dora, residual=0)
    payloads = [sent_by(f"c{index}", case.payloads[0].tensors, count) for index, count in enumerate(cases)]
    for sent in (payloads, payloads[:1]):
        result = ALL[scheme](case.shared, sent, case.base, {}).shared
        assert error(weight_of(result, case.base), weight_of(case.payloads[0].tensors, case.base)) < 1e-5
        assert (RESIDUAL_A in result) == (scheme == "flora")


def test_a_rank_the_mean_fits_into_needs_no_residual() -> None:
    case = world(3, (8, 10), 4, (4,), dora=False, residual=0)
    a = case.payloads[0].tensors[A]
    payloads = [sent_by(c, {A: a, B: case.payloads[0].tensors[B] * n}) for n, c in enumerate("abc", start=1)]
    assert RESIDUAL_A not in product_exact.aggregate(case.shared, payloads, case.base, {}).shared


def test_what_did_not_change_keeps_its_factors() -> None:
    """A balanced adapter comes back as the same factors, not only as the same product: Procrustes finds R = 1.

    Without the rotation the factors are those of the SVD: same product, other numbers.
    """
    case = world(11, (8, 10), 3, (3, 3), dora=True)
    first = product_exact.aggregate(case.shared, case.payloads, case.base, {}).shared
    again = product_exact.aggregate(first, [sent_by(c, _live(first)) for c in "ab"], case.base, {}).shared
    assert error(again[A], first[A]) < 1e-5
    assert error(again[B], first[B]) < 1e-5
    form = linear_form(M, first, case.base)
    plain = svd_of(Factors(form.b * 4 / 3, form.a)).head(3)
    assert error(plain.a, form.a) > 1e-2


def test_an_untouched_fresh_adapter_stays_able_to_learn() -> None:
    """B = 0 everywhere: the sum is zero, A must come back as it was, for A = 0 and B = 0 would have no gradient."""
    case = world(2, (6, 5), 3, (3,), dora=False, residual=0)
    fresh = {A: case.shared[A], B: np.zeros_like(case.shared[B])}
    result = product_exact.aggregate(fresh, [sent_by("a", fresh)], case.base, {}).shared
    assert result[A] == pytest.approx(fresh[A], abs=1e-6)
    assert not result[B].any()


def test_the_order_of_arrival_does_not_change_a_bit() -> None:
    """T2: centers are read in the order of their names, so every order of arrival is the same computation."""
    case = world(4, (6, 5), 2, (2, 2, 2), dora=True)
    hashes = {
        content_hash(product_exact.aggregate(case.shared, _by_name(order), case.base, {}).shared)
        for order in itertools.permutations(case.payloads)
    }
    assert len(hashes) == 1


@pytest.mark.parametrize("scheme", ALL)
def test_weights_count_relative_to_each_other_and_no_cases_means_absent(scheme) -> None:
    """T5: cases 10 and 30 are cases 1 and 3; a center without cases changes no bit, even with NaN."""
    case = world(6, (6, 5), 2, (2, 2), dora=True)
    first, second = (payload.tensors for payload in case.payloads)
    few = [sent_by("a", first, 1), sent_by("b", second, 3)]
    many = [sent_by("a", first, 10), sent_by("b", second, 30)]
    broken = {key: np.full_like(array, np.nan) for key, array in first.items()}
    results = [
        ALL[scheme](case.shared, sent, case.base, {}).shared for sent in (few, many, [*few, sent_by("c", broken, 0)])
    ]
    assert error(weight_of(results[1], case.base), weight_of(results[0], case.base)) < 1e-6
    assert content_hash(results[2]) == content_hash(results[0])


@pytest.mark.parametrize("scheme", ALL)
def test_the_frozen_weight_never_moves(scheme) -> None:
    """T11, over three rounds; nor does anything else that was handed in."""
    case = world(7, (6, 5), 2, (2, 2), dora=True)
    before = content_hash(case.base.frozen)
    shared = case.shared
    for _ in range(3):
        kept, sent = content_hash(shared), [content_hash(payload.tensors) for payload in case.payloads]
        following = ALL[scheme](shared, case.payloads, case.base, {}).shared
        assert content_hash(shared) == kept
        assert [content_hash(payload.tensors) for payload in case.payloads] == sent
        assert not any(np.shares_memory(following[key], shared[key]) for key in shared)
        shared = following
    assert content_hash(case.base.frozen) == before


def test_conv_tensors_keep_the_shapes_peft_has() -> None:
    """T10: A (r, c, z, y, x), B (d, r, 1, 1, 1), m (1, d, 1, 1, 1) > 0, and the residual like A and B."""
    case = world(8, (6, 2, 2, 1, 3), 2, (2, 2), dora=True)
    result = product_exact.aggregate(case.shared, case.payloads, case.base, {}).shared
    rank = result[RESIDUAL_A].shape[0]
    assert (result[A].shape, result[B].shape) == ((2, 2, 2, 1, 3), (6, 2, 1, 1, 1))
    assert result[MAGNITUDE].shape == (1, 6, 1, 1, 1)
    assert (result[MAGNITUDE] > 0).all()
    assert result[RESIDUAL_A].shape == (rank, 2, 2, 1, 3)
    assert result[RESIDUAL_B].shape == (6, rank, 1, 1, 1)


def test_the_linear_form_of_the_result_is_the_mean_of_gains() -> None:
    """dbar = sum_i w_i d_i, to float32."""
    case = world(12, (6, 5), 2, (2, 2), dora=True)
    result = product_exact.aggregate(case.shared, case.payloads, case.base, {}).shared
    forms: list[LinearForm] = [linear_form(M, payload.tensors, case.base) for payload in case.payloads]
    cases = np.array([payload.support["peft"] for payload in case.payloads])
    expected = sum(count * form.gain for count, form in zip(cases, forms, strict=True)) / cases.sum()
    assert linear_form(M, result, case.base).gain == pytest.approx(expected, rel=1e-5)


def _live(tensors):
    return {key: tensors[key] for key in (A, B, MAGNITUDE) if key in tensors}


def _by_name(payloads):
    return sorted(payloads, key=lambda payload: payload.center)
