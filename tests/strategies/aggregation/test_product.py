"""What all schemes share that combine adapters by their products."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import ConciliumError, PayloadError
from protocol.messages.tensors import PET, content_hash
from strategies.aggregation import fedex_lora, flexlora, flora, lora_fair, product_exact, ties
from strategies.aggregation.contract import Aggregate, Base
from tests.support.adapted_module import (
    MAGNITUDE,
    A,
    B,
    M,
    crossed,
    error,
    sent_by,
    tensor,
    weight_of,
    world,
)

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


def with_pet(case) -> Base:
    return dataclasses.replace(case.base, groups={STEM: PET})


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
