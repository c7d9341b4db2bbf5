"""ALT-EXACT: the mean of effective weights, to the last digit, phase by phase; DoRA's rule on peft's own layers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import PayloadError
from protocol.messages.payload import Payload
from protocol.messages.settings import Aggregation, Role, ServerOptimiser
from strategies.aggregation import alt_exact, fedit
from strategies.aggregation.alt_exact import fix_gauge, thin_lq
from strategies.aggregation.linear_form import flat
from tests.support.drawn_adapters import (
    A,
    B,
    Drawn,
    M,
    adapters,
    as_float32,
    bits,
    distance,
    drawn,
    in_float64,
    sent_by,
)

PHASE_B: tuple[Role, ...] = ("lora_b", "magnitude")
PHASE_A: tuple[Role, ...] = ("lora_a",)
PHASES = st.sampled_from([PHASE_B, PHASE_A])


# --- T1, T7: the mean of the effective weights, exactly


@given(adapters(centers=2), PHASES)
def test_the_result_weighs_what_the_centers_weigh_on_average(adapter: Drawn, roles: tuple[Role, ...]) -> None:
    payloads = adapter.payloads(*roles)
    result = in_float64(adapter, payloads, adapter.base(*roles))
    assert distance(adapter.weight_of(result), adapter.mean_weight(payloads)) < 1e-10


@pytest.mark.parametrize("roles", [PHASE_B, PHASE_A])
@pytest.mark.parametrize("shape", [(24, 16), (12, 4, 3, 3, 3)])
@pytest.mark.parametrize("dora", [False, True])
def test_through_the_float32_wire_it_does_so_to_1e_5(
    roles: tuple[Role, ...], shape: tuple[int, ...], dora: bool
) -> None:
    tensors = drawn(np.random.default_rng(3), shape, 4, dora=dora)
    adapter = Drawn(tensors.pop("weight"), tensors, [3, 70, 12], 8).rounded()
    payloads = as_float32(adapter.payloads(*roles))
    result = alt_exact.aggregate(adapter.shared, payloads, adapter.base(*roles), {}).shared
    assert distance(adapter.weight_of(result), adapter.mean_weight(payloads)) < 1e-5


@given(adapters(centers=2), PHASES)
def test_the_cross_covariance_of_the_factors_is_zero(adapter: Drawn, roles: tuple[Role, ...]) -> None:
    """mean_c B_c A_c = (mean_c B_c)(mean_c A_c) with what each center has at work, because one factor is common."""
    payloads = adapter.payloads(*roles)
    weights = [payload.support["peft"] ** 0.5 for payload in payloads]
    whole = [{**adapter.shared, **payload.tensors} for payload in payloads]
    products = np.average([flat(t[B]) @ flat(t[A]) for t in whole], axis=0, weights=weights)
    b, a = (np.average([flat(t[key]) for t in whole], axis=0, weights=weights) for key in (B, A))
    assert np.linalg.norm(products - b @ a) < 1e-12 * (1 + np.linalg.norm(products))


@pytest.mark.parametrize(("roles", "frozen"), [(PHASE_B, A), (PHASE_A, B)])
def test_a_center_that_moved_the_frozen_factor_is_refused(roles: tuple[Role, ...], frozen: str) -> None:
    """One bit of one entry is enough; the same factor sent back unmoved is no harm."""
    adapter = Drawn(np.ones((2, 2)), {A: np.ones((1, 2)), B: np.ones((2, 1))}, [1, 1], 0).rounded()
    honest, other = as_float32(adapter.payloads(*roles))
    same = sent_by("center-1", {**other.tensors, frozen: adapter.shared[frozen].copy()}, peft=1)
    alt_exact.aggregate(adapter.shared, [honest, same], adapter.base(*roles), {})
    moved = adapter.shared[frozen].copy()
    moved.reshape(-1)[0] = np.nextafter(moved.reshape(-1)[0], np.float32(2))
    bad = sent_by("center-1", {**other.tensors, frozen: moved}, peft=1)
    with pytest.raises(PayloadError, match=f"center 'center-1': tensor '{frozen}' moved"):
        alt_exact.aggregate(adapter.shared, [honest, bad], adapter.base(*roles), {})


def test_training_both_factors_at_once_is_refused() -> None:
    adapter = Drawn(np.ones((2, 2)), {A: np.ones((1, 2)), B: np.ones((2, 1))}, [1], 0)
    with pytest.raises(PayloadError, match="one factor at a time"):
        alt_exact.aggregate(adapter.shared, adapter.payloads("lora_a", "lora_b"), adapter.base("lora_a", "lora_b"), {})


# --- numbers by hand


def hand(weight: list[list[float]], tensors: dict[str, list], cases: list[int]) -> Drawn:
    shared = {key: np.array(value, dtype=np.float32) for key, value in tensors.items()}
    return Drawn(
        np.array(weight, dtype=np.float32), shared, cases, 0, alpha=1.0, settings=Aggregation(weight_exponent=1)
    )


def test_two_centers_in_phase_b_of_dora() -> None:
    """W0 = (0, 4), A = (1, 0), s = 1, weights 3/4 and 1/4.

    Center 0: B = 3, row (3, 4) of norm 5, m = 5: d = 1, B' = 3. Center 1: B = 0, norm 4, m = 12: d = 3, B' = 0.
    d = 3/4 + 3/4 = 1.5, B' = 2.25, so B = 1.5, and m = 1.5 |(1.5, 4)| = 1.5 sqrt(18.25). Naive means
    would be B = 2.25, m = 6.75.
    """
    adapter = hand([[0, 4]], {A: [[1, 0]], B: [[0]], M: [4]}, [])
    payloads = [
        sent_by("a", {B: np.array([[3.0]]), M: np.array([5.0])}, peft=3),
        sent_by("b", {B: np.array([[0.0]]), M: np.array([12.0])}, peft=1),
    ]
    result = alt_exact.aggregate(adapter.shared, payloads, adapter.base(*PHASE_B), {}).shared
    assert result[B].tolist() == [[1.5]]
    assert result[M] == pytest.approx([1.5 * np.sqrt(18.25)], rel=1e-7)
    assert result[A].tolist() == [[1.0, 0.0]]


def test_two_centers_in_phase_a_of_dora() -> None:
    """W0 = (0, 4), B = 1, A = (3, 0), m = 10 over norm 5: d = 2 stays.

    A = (2, 0) and (4, -4) with weights 1/2: mean (3, -2), row (3, 2), m = 2 sqrt(13).
    """
    adapter = hand([[0, 4]], {A: [[3, 0]], B: [[1]], M: [10]}, [])
    payloads = [sent_by("a", {A: np.array([[2.0, 0.0]])}, peft=1), sent_by("b", {A: np.array([[4.0, -4.0]])}, peft=1)]
    result = alt_exact.aggregate(adapter.shared, payloads, adapter.base(*PHASE_A), {}).shared
    assert result[A].tolist() == [[3.0, -2.0]]
    assert result[M] == pytest.approx([2 * np.sqrt(13)], rel=1e-7)
    assert result[B].tolist() == [[1.0]]


def test_a_magnitude_that_followed_a_phase_a_is_not_looked_at() -> None:
    """Gains stay, so m follows A at the center; the coordinator computes it anew: 2 |(2, 4)| = 2 sqrt(20)."""
    adapter = hand([[0, 4]], {A: [[3, 0]], B: [[1]], M: [10]}, [])
    payload = sent_by("a", {A: np.array([[2.0, 0.0]]), M: np.array([-77.0])}, peft=1)
    result = alt_exact.aggregate(adapter.shared, [payload], adapter.base(*PHASE_A), {}).shared
    assert result[M] == pytest.approx([2 * np.sqrt(20)], rel=1e-7)


def test_the_first_magnitudes_start_from_the_row_norms_of_the_frozen_weight() -> None:
    """W0 = (3, 4), B = 0: a fresh m is 5, d = 1. A center sends m = 10, d = 2; FedAvgM at rate 0.5 stops at 1.5."""
    adapter = hand([[3, 4]], {A: [[1, 0]], B: [[0]]}, [])
    base = adapter.base(*PHASE_B, server_optimiser=ServerOptimiser(name="fedavgm", rate=0.5))
    payload = sent_by("a", {B: np.array([[0.0]]), M: np.array([10.0])}, peft=1)
    result = alt_exact.aggregate(adapter.shared, [payload], base, {})
    assert result.shared[M].tolist() == [7.5]
    assert result.moments[f"{M}@momentum"].tolist() == [1.0]


def test_phases_take_turns_as_the_settings_say() -> None:
    two_to_one = Aggregation(phases=("b", "b", "a"))
    assert [alt_exact.live(done, two_to_one) for done in range(4)] == [PHASE_B, PHASE_B, PHASE_A, PHASE_B]


# --- the gauge step


@given(adapters())
def test_the_gauge_step_keeps_the_weight_and_makes_the_rows_of_a_orthonormal(adapter: Drawn) -> None:
    payloads = adapter.payloads(*PHASE_B)
    plain = in_float64(adapter, payloads, adapter.base(*PHASE_B))
    turned = in_float64(adapter, payloads, adapter.base(*PHASE_B, gauge_step=True))
    assert distance(adapter.weight_of(turned), adapter.weight_of(plain)) < 1e-12
    rows = flat(turned[A])
    if rows.shape[0] <= rows.shape[1]:
        assert np.allclose(rows @ rows.T, np.eye(len(rows)), atol=1e-12)


def test_a_gauge_step_by_hand() -> None:
    """A = (3, 4) has norm 5: L = 5, Q = (0.6, 0.8), so B = 2 becomes 10."""
    shared = {A: np.array([[3.0, 4.0]]), B: np.array([[1.0]])}
    turned = fix_gauge({B: np.array([[2.0]])}, shared)
    assert turned[A] == pytest.approx(np.array([[0.6, 0.8]]))
    assert turned[B] == pytest.approx(np.array([[10.0]]))


@given(adapters())
def test_lq_has_a_lower_triangle_of_positive_diagonal(adapter: Drawn) -> None:
    a = flat(adapter.shared[A])[: flat(adapter.shared[A]).shape[1]]
    lower, rows = thin_lq(a)
    assert np.allclose(lower @ rows, a, atol=1e-12)
    assert np.allclose(lower, np.tril(lower))
    assert (np.diag(lower) >= 0).all()


def test_a_gauge_step_wipes_the_moments_of_what_it_turned_and_only_once() -> None:
    """A = (3, 4) is turned in the first round; in the second it is orthonormal already, and momentum stays."""
    adapter = hand([[3, 4]], {A: [[3, 4]], B: [[0]]}, [])
    base = adapter.base(*PHASE_B, gauge_step=True, server_optimiser=ServerOptimiser(name="fedavgm"))
    payload = [sent_by("a", {B: np.array([[1.0]])}, peft=1)]
    first = alt_exact.aggregate(adapter.shared, payload, base, {})
    second = alt_exact.aggregate(first.shared, payload, base, first.moments)
    assert first.shared[B].tolist() == [[5.0]]
    assert first.moments[f"{B}@momentum"].tolist() == [[0.0]]
    assert second.moments[f"{B}@momentum"].tolist() == [[-4.0]]


def test_an_orthonormal_a_is_left_to_the_bit() -> None:
    """Rounded to float32, a random Q is orthonormal to 1e-7 only: turning it again would wipe momentum every round."""
    tensors = drawn(np.random.default_rng(5), (8, 6), 3, dora=False)
    adapter = Drawn(tensors.pop("weight"), tensors, [4, 9], 6).rounded()
    base = adapter.base(*PHASE_B, gauge_step=True, server_optimiser=ServerOptimiser(name="fedavgm"))
    payloads = as_float32(adapter.payloads(*PHASE_B))
    first = alt_exact.aggregate(adapter.shared, payloads, base, {})
    second = alt_exact.aggregate(first.shared, payloads, base, first.moments)
    assert second.shared[A].tobytes() == first.shared[A].tobytes()
    assert np.abs(second.moments[f"{B}@momentum"]).min() > 0


def test_a_phase_a_keeps_the_momentum_of_a() -> None:
    """A moves from 1 to 3: the momentum is 2, and nothing was turned."""
    adapter = hand([[1]], {A: [[1]], B: [[1]]}, [])
    base = adapter.base(*PHASE_A, gauge_step=True, server_optimiser=ServerOptimiser(name="fedavgm"))
    result = alt_exact.aggregate(adapter.shared, [sent_by("a", {A: np.array([[3.0]])}, peft=1)], base, {})
    assert result.moments[f"{A}@momentum"].tolist() == [[2.0]]


# --- T4: which scheme sees the gauge


def rotated(payload: Payload, rng: np.random.Generator) -> Payload:
    """The same products in another basis: (B R, R' A) with orthogonal R."""
    tensors = dict(payload.tensors)
    rotation = np.linalg.qr(rng.normal(size=(tensors[A].shape[0],) * 2))[0]
    tensors[A], tensors[B] = rotation.T @ tensors[A], tensors[B] @ rotation
    return sent_by(payload.center, tensors, **payload.support)


def test_fedit_depends_on_the_basis_of_each_center() -> None:
    """The guard of the gauge test: products are the same, FedIT's result is not."""
    tensors = drawn(np.random.default_rng(5), (8, 6), 3, dora=False)
    adapter = Drawn(tensors.pop("weight"), tensors, [4, 4, 4], 6)
    base, rng = adapter.base("lora_a", "lora_b", "magnitude"), np.random.default_rng(7)
    payloads = adapter.payloads("lora_a", "lora_b")
    turned = [rotated(payload, rng) for payload in payloads]
    assert distance(adapter.mean_weight(turned), adapter.mean_weight(payloads)) < 1e-12
    found = [adapter.weight_of(fedit.aggregate(adapter.shared, sent, base, {}).shared) for sent in (payloads, turned)]
    assert distance(found[1], found[0]) > 0.1


def test_a_phase_of_alt_exact_does_not_see_a_common_basis() -> None:
    """In a phase the frozen factor is common, so a change of basis is common too: (B_c R, R' A)."""
    tensors = drawn(np.random.default_rng(5), (8, 6), 3, dora=True)
    weight = tensors.pop("weight")
    adapter, rotation = Drawn(weight, tensors, [4, 9], 6), np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    other = Drawn(weight, {**tensors, A: rotation.T @ tensors[A], B: tensors[B] @ rotation}, [4, 9], 6)
    payloads = adapter.payloads(*PHASE_B)
    turned = [sent_by(p.center, {**p.tensors, B: p.tensors[B] @ rotation}, **p.support) for p in payloads]
    found = in_float64(adapter, payloads, adapter.base(*PHASE_B)), in_float64(other, turned, other.base(*PHASE_B))
    assert distance(other.weight_of(found[1]), adapter.weight_of(found[0])) < 1e-12


# --- T11


@given(adapters(centers=2), PHASES)
def test_the_frozen_weight_keeps_its_bits(adapter: Drawn, roles: tuple[Role, ...]) -> None:
    base = adapter.base(*roles, gauge_step=True)
    before = bits(dict(base.frozen))
    state = adapter.shared
    for _ in range(3):
        state = alt_exact.aggregate(state, adapter.payloads(*roles), base, {}).shared
    assert bits(dict(base.frozen)) == before


@settings(max_examples=20)
@given(adapters(centers=2), st.integers(1, 9))
def test_scaling_all_weights_changes_nothing(adapter: Drawn, factor: int) -> None:
    """n -> 4^factor n multiplies each n^0.5 by 2^factor, which float64 does exactly."""
    payloads = adapter.payloads(*PHASE_B)
    more = [sent_by(p.center, p.tensors, peft=p.support["peft"] * 4**factor) for p in payloads]
    base = adapter.base(*PHASE_B)
    found = (alt_exact.aggregate(adapter.shared, sent, base, {}).shared for sent in (payloads, more))
    assert bits(next(found)) == bits(next(found))
