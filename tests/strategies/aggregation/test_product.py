"""What all product schemes share, and the approximate ones: FlexLoRA, LoRA-FAIR, TIES."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import ConciliumError, PayloadError
from protocol.messages.payload import Payload
from protocol.messages.tensors import PET, Tensors, content_hash
from strategies.aggregation import fedex_lora, flexlora, flora, lora_fair, product_exact, ties
from strategies.aggregation.contract import Aggregate, Base
from strategies.aggregation.linear_form import flat, linear_form
from strategies.aggregation.lora_fair import correct
from strategies.aggregation.low_rank_sum import Factors
from tests.support.adapted_module import MAGNITUDE, A, B, M, base_of, error, sent_by, tensor, weight_of, world

SCHEMES: dict[str, Aggregate] = {
    "product-exact": product_exact.aggregate,
    "fedex-lora": fedex_lora.aggregate,
    "flora": flora.aggregate,
    "flexlora": flexlora.aggregate,
    "lora-fair": lora_fair.aggregate,
    "ties": ties.aggregate,
}
STEM = "pet_embedding.weight"
every_scheme = pytest.mark.parametrize("scheme", SCHEMES)


def product(tensors) -> np.ndarray:
    return flat(tensors[B]) @ flat(tensors[A])


def crossed(**settings: float) -> tuple[Tensors, list[Payload], Base]:
    """Rank 1, s = 1, W0 = 0, centers a and b with 3 cases and 1: products diag(4, 0) and diag(0, 4)."""
    base = base_of(np.zeros((2, 2)), 1, 1.0, None, **settings)
    shared = {A: tensor([1, 0]), B: tensor([0], [0])}
    payloads = [
        sent_by("a", {A: tensor([1, 0]), B: tensor([4], [0])}, cases=3),
        sent_by("b", {A: tensor([0, 1]), B: tensor([0], [4])}, cases=1),
    ]
    return shared, payloads, base


def with_pet(case) -> Base:
    return dataclasses.replace(case.base, groups={STEM: PET})


def test_flexlora_keeps_the_strongest_direction_and_logs_the_rest() -> None:
    """M = diag(3, 1): rank 1 keeps diag(3, 0) and loses 1 of 9 + 1 = a tenth of the energy."""
    result = flexlora.aggregate(*crossed(), {})
    assert product(result.shared) == pytest.approx(np.diag([3.0, 0]), abs=1e-6)
    assert result.log[f"tail_dropped/{M}"] == pytest.approx(0.1)


@given(st.integers(0, 10**6), st.lists(st.integers(1, 4), min_size=1, max_size=3), st.booleans())
def test_flexloras_error_is_the_tail_it_logged(seed, ranks, dora) -> None:
    """|Wbar - W|^2 / |M|^2, with M what the mean weight has beyond diag(d) W0 + C."""
    case = world(seed, (7, 9), 2, tuple(ranks), dora=dora)
    result = flexlora.aggregate(case.shared, case.payloads, case.base, {})
    exact = product_exact.aggregate(case.shared, case.payloads, case.base, {})
    lost = np.sum((weight_of(result.shared, case.base) - case.mean_weight()) ** 2)
    silent = {**result.shared, B: np.zeros_like(result.shared[B])}
    if dora:
        gain = _gain(exact.shared, case.base)
        rows = np.linalg.norm(flat(case.base.frozen[f"{M}.weight"]), axis=1)
        silent[MAGNITUDE] = (gain * rows).astype(np.float32)
    energy = np.sum((case.mean_weight() - weight_of(silent, case.base)) ** 2)
    assert result.log[f"tail_dropped/{M}"] == pytest.approx(lost / energy, rel=1e-3, abs=1e-9)


def test_fair_two_centers_by_hand() -> None:
    """Abar = (3/4, 1/4), Bbar = (3, 1)', M = diag(3, 1), lambda = 3/8, so Abar Abar' + lambda = 10/16 + 6/16 = 1.

    M Abar' = (9/4, 1/4)'; B = (9/4 + 9/8, 1/4 + 3/8)' = (27/8, 5/8)'.
    B Abar = [[81, 27], [15, 5]] / 32 against M = [[96, 0], [0, 32]] / 32: error (225 + 729 + 225 + 729) / 10240.
    """
    result = lora_fair.aggregate(*crossed(ridge=0.375), {})
    assert result.shared[A] == pytest.approx(np.array([[0.75, 0.25]]))
    assert result.shared[B] == pytest.approx(np.array([[27 / 8], [5 / 8]]))
    assert result.log[f"product_error/{M}"] == pytest.approx(1908 / 10240)


@given(st.integers(0, 10**6), st.floats(1e-3, 10), st.integers(1, 4))
def test_fairs_factor_has_gradient_zero(seed, ridge, rank) -> None:
    """(B Abar - M) Abar' + lambda (B - Bbar) = 0."""
    rng = np.random.default_rng(seed)
    means = Factors(rng.normal(size=(6, rank)), rng.normal(size=(rank, 7)))
    total = rng.normal(size=(6, 7))
    b = correct(total @ means.a.T, means, ridge)
    gradient = (b @ means.a - total) @ means.a.T + ridge * (b - means.b)
    assert np.max(np.abs(gradient)) < 1e-9


def test_fair_with_a_strong_pull_is_the_mean_of_factors() -> None:
    """lambda -> infinity: Bbar = (3, 1)'. Near zero it is least squares: M Abar' / |Abar|^2 = (18/5, 2/5)'."""
    strong, weak = (lora_fair.aggregate(*crossed(ridge=ridge), {}).shared[B] for ridge in (1e9, 1e-9))
    assert strong == pytest.approx(np.array([[3], [1]]), abs=1e-6)
    assert weak == pytest.approx(np.array([[3.6], [0.4]]), abs=1e-6)


def test_ties_elects_and_averages_by_hand() -> None:
    """Density .75 keeps 3 of 4 entries; weights 1 and 1; shared rank 2 loses nothing.

    a: [[4, -2], [ 1, 3]] -> [[4, -2], [0, 3]]        b: [[-6, -4], [1, 5]] -> [[-6, -4], [0, 5]]
    (0, 0): -6 outweighs 4 -> -6.  (0, 1): both negative -> -3.  (1, 0): trim -> 0.  (1, 1): both positive -> 4.
    """
    base = base_of(np.zeros((2, 2)), 2, 2.0, density=0.75)
    eye = tensor([1, 0], [0, 1])
    payloads = [
        sent_by("a", {A: eye, B: tensor([4, -2], [1, 3])}),
        sent_by("b", {A: eye, B: tensor([-6, -4], [1, 5])}),
    ]
    result = ties.aggregate({A: eye, B: np.zeros_like(eye)}, payloads, base, {})
    assert product(result.shared) == pytest.approx(np.array([[-6.0, -3], [0, 4]]), abs=1e-5)
    assert result.log[f"tail_dropped/{M}"] == 0


def test_ties_counts_mass_by_cases() -> None:
    """With 3 cases at a, 3 * 4 outweighs 6: (0, 0) is 4. (0, 1) = -(3 * 2 + 4) / 4 and (1, 1) = (9 + 5) / 4."""
    base = base_of(np.zeros((2, 2)), 2, 2.0, density=0.75)
    eye = tensor([1, 0], [0, 1])
    payloads = [
        sent_by("a", {A: eye, B: tensor([4, -2], [1, 3])}, cases=3),
        sent_by("b", {A: eye, B: tensor([-6, -4], [1, 5])}),
    ]
    result = ties.aggregate({A: eye, B: np.zeros_like(eye)}, payloads, base, {})
    assert product(result.shared) == pytest.approx(np.array([[4, -2.5], [0, 3.5]]), abs=1e-5)


def test_ties_leaves_an_entry_that_no_sign_wins() -> None:
    """+2 against -2 with equal weight is 0, and no majority of none."""
    base = base_of(np.zeros((1, 1)), 1, 1.0, density=1.0)
    payloads = [sent_by(c, {A: tensor([1]), B: tensor([v])}) for c, v in (("a", 2), ("b", -2))]
    assert ties.aggregate({A: tensor([1]), B: tensor([0])}, payloads, base, {}).shared[B].tolist() == [[0]]


def test_ties_cuts_to_the_shared_rank_and_logs_it() -> None:
    """diag(4, 0) and diag(0, 4) do not meet: merged diag(4, 4) whatever the weights; rank 1 loses half the energy."""
    result = ties.aggregate(*crossed(density=0.25), {})
    assert result.log[f"tail_dropped/{M}"] == pytest.approx(0.5)
    assert np.linalg.norm(product(result.shared)) == pytest.approx(4)


@given(st.integers(0, 10**6), st.sampled_from(["flexlora", "lora-fair", "ties"]))
def test_one_center_passes_through_the_approximate_schemes_too(seed, scheme) -> None:
    """T6: with one center there is nothing to approximate (ridge near 0, nothing trim)."""
    case = world(seed, (7, 9), 2, (2,), dora=True, ridge=1e-9, density=1.0)
    result = SCHEMES[scheme](case.shared, case.payloads, case.base, {})
    assert error(weight_of(result.shared, case.base), case.mean_weight()) < 1e-5


@every_scheme
def test_a_center_without_pet_has_no_say_on_pet(scheme) -> None:
    """T8: c has no PET case and sends two NaN there. PET values 1 (2 cases) and 4 (1 case) average to 2."""
    case = world(1, (6, 5), 2, (2, 2, 2), dora=True)
    pet = zip(case.payloads, (tensor(1), tensor(4), tensor(np.nan, np.nan)), (2, 1, 0), strict=True)
    payloads = [sent_by(p.center, {**p.tensors, STEM: v}, 5, pet=n) for p, v, n in pet]
    shared = {**case.shared, STEM: tensor(9)}
    result = SCHEMES[scheme](shared, payloads, with_pet(case), {}).shared
    assert result[STEM].tolist() == [2]
    assert all(np.isfinite(array).all() for array in result.values())


@every_scheme
def test_what_nobody_supports_keeps_its_bits(scheme) -> None:
    """T8: no PET case anywhere keeps the stem; no adapter case anywhere keeps the adapter. Moments pass through."""
    case = world(1, (6, 5), 2, (2, 2), dora=True)
    shared, moments = {**case.shared, STEM: tensor(0.1)}, {STEM: tensor(0.3)}
    only_adapter = [sent_by(p.center, {**p.tensors, STEM: tensor(7)}, 5, pet=0) for p in case.payloads]
    only_pet = [sent_by(p.center, {**p.tensors, STEM: tensor(7)}, 0, pet=3) for p in case.payloads]
    first, second = (SCHEMES[scheme](shared, sent, with_pet(case), moments) for sent in (only_adapter, only_pet))
    assert first.shared[STEM].tobytes() == shared[STEM].tobytes()
    assert first.moments[STEM].tobytes() == moments[STEM].tobytes()
    assert second.shared[STEM].tolist() == [7]
    assert content_hash({key: second.shared[key] for key in case.shared}) == content_hash(case.shared)


@every_scheme
def test_payloads_are_read_once_and_one_at_a_time(scheme) -> None:
    case = world(2, (6, 5), 2, (2, 2, 2), dora=False)
    result = SCHEMES[scheme](case.shared, iter(case.payloads), case.base, {})
    assert content_hash(result.shared) == content_hash(
        SCHEMES[scheme](case.shared, case.payloads, case.base, {}).shared
    )


@every_scheme
def test_plain_lora_stays_plain(scheme) -> None:
    case = world(2, (6, 5), 2, (2, 2), dora=False)
    assert MAGNITUDE not in SCHEMES[scheme](case.shared, case.payloads, case.base, {}).shared


def test_personal_tensors_and_statistics_are_not_averaged() -> None:
    case = world(2, (6, 5), 2, (2,), dora=False)
    own = {f"{M}#center_a": tensor(1), "norm1#norm_bias": tensor(1), f"{M}@gram": tensor(1), f"{A}@control": tensor(1)}
    everything = {"peft": 5, "center": 5, "norm": 5}
    sent = [dataclasses.replace(case.payloads[0], tensors={**case.payloads[0].tensors, **own}, support=everything)]
    assert set(product_exact.aggregate(case.shared, sent, case.base, {}).shared) == set(case.shared)


@every_scheme
def test_no_case_at_any_center_is_refused(scheme) -> None:
    """T5: no division by zero."""
    case = world(1, (6, 5), 2, (2,), dora=False)
    with pytest.raises(PayloadError, match=r"no center supports any tensor.*'c'.*'peft': 0"):
        SCHEMES[scheme](case.shared, [sent_by("c", case.payloads[0].tensors, 0)], case.base, {})


@every_scheme
def test_two_payloads_of_one_center_are_refused(scheme) -> None:
    case = world(1, (6, 5), 2, (2,), dora=False)
    with pytest.raises(PayloadError, match="'center00' sent more than one payload"):
        SCHEMES[scheme](case.shared, case.payloads * 2, case.base, {})


def test_payloads_out_of_order_are_refused() -> None:
    """T2: one order, one rounding."""
    case = world(1, (6, 5), 2, (2, 2), dora=False)
    with pytest.raises(PayloadError, match="'center00' came after 'center01'"):
        product_exact.aggregate(case.shared, case.payloads[::-1], case.base, {})


@every_scheme
@pytest.mark.parametrize("missing", [A, B, MAGNITUDE])
def test_a_part_of_an_adapter_is_refused(scheme, missing) -> None:
    case = world(1, (6, 5), 2, (2, 2), dora=True)
    part = {key: array for key, array in case.payloads[1].tensors.items() if key != missing}
    with pytest.raises(PayloadError, match=rf"'z' sent .* of module '{M}', expected \['lora_a', 'lora_b', 'magn"):
        SCHEMES[scheme](case.shared, [case.payloads[0], sent_by("z", part)], case.base, {})


@pytest.mark.parametrize("key", [A, B, MAGNITUDE])
def test_another_shape_is_refused(key) -> None:
    case = world(1, (6, 5), 2, (2,), dora=True)
    sent = dict(case.payloads[0].tensors)
    sent[key] = np.ones((9, *sent[key].shape[1:]), dtype=np.float32)
    with pytest.raises(PayloadError, match=rf"'z': tensor '{key}' has shape \(9,"):
        product_exact.aggregate(case.shared, [sent_by("z", sent)], case.base, {})


def test_another_rank_than_registered_is_refused() -> None:
    case = world(1, (6, 5), 2, (1,), dora=False)
    with pytest.raises(PayloadError, match=rf"'z': tensor '{A}' has shape \(1, 5\), expected \(2, 5\)"):
        product_exact.aggregate(case.shared, [sent_by("z", case.payloads[0].tensors)], case.base, {})


@pytest.mark.parametrize("scheme", ["fedex-lora", "lora-fair"])
def test_schemes_that_average_factors_refuse_mixed_ranks(scheme) -> None:
    case = world(1, (6, 5), 2, (1, 2), dora=False)
    with pytest.raises(ConciliumError, match=r"averages factors, and centers \{'center00': 1\}.*shared 2"):
        SCHEMES[scheme](case.shared, case.payloads, case.base, {})


def test_an_adapter_of_an_unknown_module_and_a_tensor_of_no_group_are_refused() -> None:
    case = world(1, (6, 5), 2, (2,), dora=False)
    with pytest.raises(PayloadError, match=r"'z' sent an adapter for module 'other'"):
        product_exact.aggregate(case.shared, [sent_by("z", {"other#lora_a": tensor([1])})], case.base, {})
    with pytest.raises(PayloadError, match=r"'loose' sent by center 'z' belongs to no group"):
        product_exact.aggregate(case.shared, [sent_by("z", {"loose": tensor(1)})], case.base, {})


def test_a_stem_of_another_shape_is_refused() -> None:
    case = world(1, (6, 5), 2, (2,), dora=False)
    shared = {**case.shared, STEM: tensor(1, 2)}
    with pytest.raises(PayloadError, match=rf"'z': tensor '{STEM}' has shape \(3,\), expected \(2,\)"):
        product_exact.aggregate(shared, [sent_by("z", {STEM: tensor(1, 2, 3)}, pet=1)], with_pet(case), {})


def test_the_weight_exponent_applies_to_products() -> None:
    """Cases 9 and 1 with a = 1/2 weigh 3 to 1: M = diag(3, 1) as with cases 3 and 1 at a = 1."""
    shared, payloads, base = crossed(weight_exponent=0.5)
    payloads = [dataclasses.replace(payloads[0], support={"peft": 9}), payloads[1]]
    assert weight_of(product_exact.aggregate(shared, payloads, base, {}).shared, base) == pytest.approx(
        np.diag([3.0, 1]), abs=1e-6
    )


def _gain(tensors, base):
    return linear_form(M, tensors, base).gain
