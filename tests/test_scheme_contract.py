"""What every row of the scheme table promises, whatever its arithmetic."""

import numpy as np
import pytest
from numpy.typing import NDArray

from strategies.aggregation.schemes import SCHEMES, Scheme
from strategies.payload import Payload
from strategies.tensors import PEFT, PET, Tensors

Array = NDArray[np.float32]

GROUPS = {"qkv#lora_a": PEFT, "qkv#lora_b": PEFT, "pet_embedding.weight": PET}
SHAPES = {"qkv#lora_a": (2, 6), "qkv#lora_b": (6, 2), "pet_embedding.weight": (4, 1, 2, 2, 2)}


def drawn(seed: int) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    return {key: rng.normal(size=shape).astype(np.float32) for key, shape in SHAPES.items()}


def bits(tensors: Tensors) -> dict[str, tuple[tuple[int, ...], bytes]]:
    return {key: (array.shape, array.tobytes()) for key, array in tensors.items()}


@pytest.fixture
def shared() -> Tensors:
    return drawn(0)


@pytest.fixture
def payloads() -> list[Payload]:
    """Two centers with PET and one without."""
    a, b, c = drawn(1), drawn(2), drawn(3)
    del c["pet_embedding.weight"]
    return [
        Payload("a", "hash", "adapt", 1, a, {PEFT: 30, PET: 20}),
        Payload("b", "hash", "adapt", 1, b, {PEFT: 11, PET: 7}),
        Payload("c", "hash", "adapt", 1, c, {PEFT: 5}),
    ]


@pytest.fixture(params=sorted(SCHEMES))
def scheme(request: pytest.FixtureRequest) -> Scheme:
    return SCHEMES[request.param]


def test_result_has_the_shared_keys_and_shapes_in_float32(
    scheme: Scheme, shared: Tensors, payloads: list[Payload]
) -> None:
    result = scheme.aggregate(shared, payloads, GROUPS)
    assert {key: (array.shape, array.dtype) for key, array in result.items()} == {
        key: (shape, np.dtype(np.float32)) for key, shape in SHAPES.items()
    }


def test_keys_come_sorted(scheme: Scheme, shared: Tensors, payloads: list[Payload]) -> None:
    assert list(scheme.aggregate(shared, payloads, GROUPS)) == sorted(SHAPES)


def test_nothing_handed_in_is_changed(scheme: Scheme, shared: Tensors, payloads: list[Payload]) -> None:
    before = [bits(shared), *(bits(payload.tensors) for payload in payloads)]
    scheme.aggregate(shared, payloads, GROUPS)
    scheme.start_from(shared, payloads[0].tensors)
    assert [bits(shared), *(bits(payload.tensors) for payload in payloads)] == before


def test_the_result_shares_no_memory_with_what_was_handed_in(
    scheme: Scheme, shared: Tensors, payloads: list[Payload]
) -> None:
    result = scheme.aggregate(shared, payloads, GROUPS)
    given = [*shared.values(), *(array for payload in payloads for array in payload.tensors.values())]
    assert not any(np.shares_memory(new, old) for new in result.values() for old in given)


def test_tensors_that_nobody_sent_share_no_memory_either(
    scheme: Scheme, shared: Tensors, payloads: list[Payload]
) -> None:
    """Center `c` has no PET."""
    result = scheme.aggregate(shared, payloads[2:], GROUPS)
    assert not any(np.shares_memory(result[key], shared[key]) for key in SHAPES)


def test_a_single_center_shares_no_memory_either(scheme: Scheme, shared: Tensors, payloads: list[Payload]) -> None:
    result = scheme.aggregate(shared, payloads[:1], GROUPS)
    assert not any(np.shares_memory(result[key], payloads[0].tensors[key]) for key in SHAPES)


def test_order_of_arrival_changes_no_bit(scheme: Scheme, shared: Tensors, payloads: list[Payload]) -> None:
    forward = scheme.aggregate(shared, payloads, GROUPS)
    assert bits(scheme.aggregate(shared, payloads[::-1], GROUPS)) == bits(forward)


def test_a_center_that_never_sent_starts_from_the_shared_tensors(scheme: Scheme, shared: Tensors) -> None:
    assert bits(scheme.start_from(shared, None)) == bits(shared)


def test_what_is_remembered_of_a_center_can_be_started_from(
    scheme: Scheme, shared: Tensors, payloads: list[Payload]
) -> None:
    own = scheme.remember({}, payloads[0].tensors, GROUPS)
    assert scheme.start_from(shared, own).keys() == shared.keys()
    assert set(scheme.carry({"a": own})) <= {"a"}


def test_a_center_starts_with_every_shared_key(scheme: Scheme, shared: Tensors, payloads: list[Payload]) -> None:
    assert scheme.start_from(shared, payloads[2].tensors).keys() == shared.keys()
