"""Support-weighted mean per tensor, and no exchange, on numbers one can check by hand."""

import itertools
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from strategies.aggregation import local_only, support_mean
from strategies.errors import PayloadError
from strategies.payload import Payload
from strategies.tensors import PEFT, PET, Tensors

Array = NDArray[np.float32]

LORA, STEM, MAGNITUDE = "attn.qkv#lora_a", "pet_embedding.weight", "attn.qkv#magnitude"
GROUPS = {LORA: PEFT, STEM: PET, MAGNITUDE: PEFT}
NUMBERS = st.floats(-1e6, 1e6, width=32)


def tensor(*values: float) -> Array:
    return np.array(values, dtype=np.float32)


def sent_by(center: str, tensors: Tensors, **support: int) -> Payload:
    return Payload(center=center, backbone_hash="b", stage="adapt", server_round=1, tensors=tensors, support=support)


def bits(tensors: Tensors) -> dict[str, tuple[tuple[int, ...], bytes]]:
    return {key: (array.shape, array.tobytes()) for key, array in tensors.items()}


def test_two_centers_weigh_by_their_cases() -> None:
    payloads = [sent_by("a", {LORA: tensor(1, 10)}, peft=30), sent_by("b", {LORA: tensor(5, 20)}, peft=10)]
    result = support_mean.aggregate({LORA: tensor(0, 0)}, payloads, GROUPS)
    assert result[LORA].tolist() == [2.0, 12.5]


def test_centers_one_and_three_with_equal_support_average_to_two() -> None:
    payloads = [sent_by("a", {LORA: tensor(1)}, peft=7), sent_by("b", {LORA: tensor(3)}, peft=7)]
    assert support_mean.aggregate({}, payloads, GROUPS)[LORA].tolist() == [2.0]


def test_pet_tensors_average_over_the_centers_with_pet_only() -> None:
    """CT-only center `c` has most cases: it moves the adapter and not the PET stem."""
    payloads = [
        sent_by("a", {LORA: tensor(1), STEM: tensor(1)}, peft=10, pet=10),
        sent_by("b", {LORA: tensor(2), STEM: tensor(4)}, peft=20, pet=5),
        sent_by("c", {LORA: tensor(3)}, peft=70),
    ]
    result = support_mean.aggregate({LORA: tensor(0), STEM: tensor(0)}, payloads, GROUPS)
    assert result[STEM].tolist() == [2.0]
    assert result[LORA] == pytest.approx([2.6], abs=1e-7)


def test_support_zero_is_absent_even_with_garbage() -> None:
    payloads = [sent_by("a", {STEM: tensor(3)}, pet=4), sent_by("b", {STEM: tensor(np.nan)}, pet=0)]
    assert support_mean.aggregate({STEM: tensor(0)}, payloads, GROUPS)[STEM].tolist() == [3.0]


def test_a_tensor_nobody_supports_keeps_its_bits() -> None:
    shared = {LORA: tensor(1), STEM: tensor(-0.0, 1e-45, 0.1)}
    result = support_mean.aggregate(shared, [sent_by("a", {LORA: tensor(2)}, peft=1)], GROUPS)
    assert result[STEM].tobytes() == shared[STEM].tobytes()


def test_magnitudes_of_a_fresh_adapter_enter_the_shared_tensors() -> None:
    payloads = [sent_by("a", {MAGNITUDE: tensor(1, 2)}, peft=1), sent_by("b", {MAGNITUDE: tensor(3, 6)}, peft=1)]
    result = support_mean.aggregate({LORA: tensor(9)}, payloads, GROUPS)
    assert {key: array.tolist() for key, array in result.items()} == {LORA: [9.0], MAGNITUDE: [2.0, 4.0]}


def test_a_scalar_tensor_keeps_its_shape() -> None:
    payloads = [sent_by("a", {LORA: np.asarray(2, np.float32)}, peft=1)]
    assert support_mean.aggregate({}, payloads, GROUPS)[LORA].shape == ()


@pytest.mark.parametrize("payloads", [[], [sent_by("hgj", {LORA: tensor(1)}, peft=0)], [sent_by("hgj", {}, peft=3)]])
def test_a_round_without_any_support_is_refused(payloads: list[Payload]) -> None:
    with pytest.raises(PayloadError, match="no center supports any tensor"):
        support_mean.aggregate({LORA: tensor(1)}, payloads, GROUPS)


def test_two_payloads_of_one_center_are_refused() -> None:
    payload = sent_by("hgj", {LORA: tensor(1)}, peft=1)
    with pytest.raises(PayloadError, match=r"\['hgj'\] sent more than one payload"):
        support_mean.aggregate({}, [payload, payload], GROUPS)


def test_a_key_without_group_is_refused_by_name() -> None:
    with pytest.raises(PayloadError, match=r"'head.bias' sent by centers \['hgj'\]"):
        support_mean.aggregate({}, [sent_by("hgj", {"head.bias": tensor(1)}, peft=1)], GROUPS)


def test_shapes_never_broadcast() -> None:
    payloads = [sent_by("a", {LORA: np.ones((4, 3), np.float32)}, peft=1)]
    payloads.append(sent_by("b", {LORA: np.ones((1, 3), np.float32)}, peft=1))
    with pytest.raises(PayloadError, match=r"shapes \[\(1, 3\), \(4, 3\)\]"):
        support_mean.aggregate({}, payloads, GROUPS)


def test_the_mean_starts_every_center_from_the_shared_tensors() -> None:
    shared = {LORA: tensor(1)}
    assert bits(support_mean.start_from(shared, {LORA: tensor(5)})) == bits(shared)


def test_local_only_keeps_the_shared_tensors() -> None:
    result = local_only.aggregate({LORA: tensor(1)}, [sent_by("a", {LORA: tensor(9)}, peft=1)], GROUPS)
    assert result[LORA].tolist() == [1.0]


def test_local_only_lays_a_centers_own_tensors_over_the_shared_ones() -> None:
    shared = {LORA: tensor(1), STEM: tensor(2)}
    start = local_only.start_from(shared, {LORA: tensor(5), MAGNITUDE: tensor(7)})
    assert {key: array.tolist() for key, array in start.items()} == {LORA: [5.0], STEM: [2.0], MAGNITUDE: [7.0]}


PAYLOADS = st.lists(
    st.tuples(arrays(np.float32, (2, 3), elements=NUMBERS), st.integers(1, 2000)), min_size=1, max_size=6
).map(lambda rows: [sent_by(f"center-{i}", {LORA: array}, peft=n) for i, (array, n) in enumerate(rows)])


@pytest.mark.parametrize("order", list(itertools.permutations("abc")))
def test_sums_run_in_the_order_of_center_names(order: tuple[str, ...]) -> None:
    """(1e30 - 1e30) + 3 is 3, while (1e30 + 3) - 1e30 is 0 in float64."""
    values = {"a": 1e30, "b": -1e30, "c": 3.0}
    payloads = [sent_by(center, {LORA: tensor(values[center])}, peft=1) for center in order]
    assert support_mean.aggregate({}, payloads, GROUPS)[LORA].tolist() == [1.0]


@given(PAYLOADS, st.randoms(use_true_random=False))
def test_order_of_arrival_changes_no_bit(payloads: list[Payload], shuffle: random.Random) -> None:
    shuffled = shuffle.sample(payloads, len(payloads))
    assert bits(support_mean.aggregate({}, shuffled, GROUPS)) == bits(support_mean.aggregate({}, payloads, GROUPS))


@given(arrays(np.float32, (2, 3), elements=NUMBERS), st.lists(st.integers(1, 2000), min_size=1, max_size=6))
def test_equal_centers_average_to_themselves_at_any_weight(array: Array, cases: list[int]) -> None:
    payloads = [sent_by(f"center-{i}", {LORA: array}, peft=n) for i, n in enumerate(cases)]
    assert (support_mean.aggregate({}, payloads, GROUPS)[LORA] == array).all()


@given(PAYLOADS)
def test_the_mean_lies_between_the_centers(payloads: list[Payload]) -> None:
    sent = np.stack([payload.tensors[LORA] for payload in payloads])
    mean = support_mean.aggregate({}, payloads, GROUPS)[LORA]
    assert (mean >= sent.min(axis=0)).all()
    assert (mean <= sent.max(axis=0)).all()


@given(PAYLOADS)
def test_a_center_with_zero_support_equals_an_absent_one(payloads: list[Payload]) -> None:
    silent = sent_by("zzz", {LORA: tensor(*range(6)).reshape(2, 3)}, peft=0)
    with_silent = support_mean.aggregate({}, [*payloads, silent], GROUPS)
    assert bits(with_silent) == bits(support_mean.aggregate({}, payloads, GROUPS))
