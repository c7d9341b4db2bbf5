"""Inner products of updates in what adapters do, against dense matrices."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import PayloadError
from protocol.messages.payload import Payload
from protocol.messages.settings import ROLES, Aggregation, Role
from protocol.messages.tensors import PEFT, PET, Tensors, role_of
from strategies.aggregation.contract import Base
from strategies.aggregation.linear_form import flat, linear_form, wire_magnitude
from strategies.robust.product_space import Change, inner_products, products_by_group
from tests.support.drawn_tensors import drawn

STEM = "pet_embedding.weight"
LORA = {"qkv#lora_a": (2, 6), "qkv#lora_b": (5, 2), STEM: (4, 1, 2)}
DORA = {**LORA, "qkv#magnitude": (5,), "conv#lora_a": (2, 3, 2, 2, 2), "conv#lora_b": (4, 2, 1, 1, 1)}
FROZEN = {"qkv.weight": (5, 6), "conv.weight": (4, 3, 2, 2, 2)}


def base(*roles: Role) -> Base:
    return Base({STEM: PET}, drawn(9, FROZEN), 4.0, 2, Aggregation(), roles or ROLES)


def sent(center: str, seed: int, shapes: dict[str, tuple[int, ...]], *roles: Role) -> Payload:
    tensors = {key: array for key, array in drawn(seed, shapes).items() if role_of(key) in (*(roles or ROLES), "")}
    return Payload(center, "", "adapt", 1, tensors, {PEFT: 4, PET: 3})


def effect(tensors: Tensors, given: Base) -> np.ndarray:
    """The effective weights diag(d) W0 + s B' A of all modules, flat."""
    found = []
    for module in ("conv", "qkv"):
        if f"{module}#lora_a" in tensors:
            form = linear_form(module, tensors, given)
            weight = form.gain[:, None] * flat(given.frozen[f"{module}.weight"]) + 2 * form.b @ form.a
            found.append(weight.reshape(-1))
    return np.concatenate(found)


def test_two_updates_of_one_module_by_hand() -> None:
    """[[2]] [[3]] and [[1]] [[5]]: products 6 and 5, so 36, 30 and 25."""
    values = inner_products([Change(np.full((1, 1), b), np.full((1, 1), a)) for b, a in ((2.0, 3.0), (1.0, 5.0))])
    assert values.tolist() == [[36, 30], [30, 25]]


def test_a_gain_counts_with_the_frozen_weight_it_scales() -> None:
    """Gain 2 on a row (3, 4) is (6, 8), beside L R = (1, 0): |(7, 8)|^2 = 113."""
    change = Change(np.ones((1, 1)), np.array([[1.0, 0.0]]), np.array([2.0]))
    assert inner_products([change], np.array([[3.0, 4.0]])).tolist() == [[113]]


@pytest.mark.parametrize("shapes", [LORA, DORA], ids=["lora", "dora"])
def test_products_are_those_of_the_dense_updates(shapes: dict[str, tuple[int, ...]]) -> None:
    given, shared = base(), drawn(0, shapes)
    payloads = [sent(center, seed, shapes) for seed, center in enumerate("abc", 1)]
    found = products_by_group(shared, payloads, given)[PEFT]
    updates = [effect({**shared, **payload.tensors}, given) - effect(shared, given) for payload in payloads]
    np.testing.assert_allclose(found.values, np.array(updates) @ np.array(updates).T, rtol=1e-10)
    assert found.centers == ("a", "b", "c")


def test_in_a_phase_a_a_magnitude_follows_so_that_the_gain_stays() -> None:
    given, shared = base("lora_a"), drawn(0, DORA)
    payloads = [sent(center, seed, DORA, "lora_a") for seed, center in enumerate("ab", 1)]
    start = linear_form("qkv", shared, given)
    updates = []
    for payload in payloads:
        moved = {**shared, "qkv#lora_a": payload.tensors["qkv#lora_a"]}
        form = replace(start, a=flat(moved["qkv#lora_a"]))
        moved |= {key: array.astype(np.float32) for key, array in wire_magnitude("qkv", form, given).items()}
        del moved["conv#lora_a"]
        updates.append(effect(moved, given) - effect({k: v for k, v in shared.items() if k != "conv#lora_a"}, given))
    only = [replace(p, tensors={k: v for k, v in p.tensors.items() if k != "conv#lora_a"}) for p in payloads]
    found = products_by_group(shared, only, given)[PEFT]
    np.testing.assert_allclose(found.values, np.array(updates) @ np.array(updates).T, rtol=1e-4)


@given(st.integers(0, 2**32 - 1))
def test_another_gauge_of_the_same_update_changes_nothing(seed: int) -> None:
    """(B G, G^-1 A) in place of (B, A), G orthogonal; to the float32 that updates travel in."""
    given, shared = base(), drawn(0, LORA)
    payloads = [sent(center, number, LORA) for number, center in enumerate("ab", 1)]
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(2, 2)))[0].astype(np.float32)
    tensors = payloads[1].tensors
    turned = {"qkv#lora_b": tensors["qkv#lora_b"] @ turn, "qkv#lora_a": turn.T @ tensors["qkv#lora_a"]}
    other = replace(payloads[1], tensors={**tensors, **turned})
    first, second = (products_by_group(shared, [payloads[0], last], given)[PEFT] for last in (payloads[1], other))
    np.testing.assert_allclose(first.values, second.values, rtol=1e-4, atol=1e-3)


def test_what_did_not_move_is_exactly_zero() -> None:
    shared = drawn(0, LORA)
    found = products_by_group(shared, [Payload("a", "", "adapt", 1, shared, {PEFT: 1, PET: 1})], base())
    assert {group: products.values.tolist() for group, products in found.items()} == {PEFT: [[0]], PET: [[0]]}


def test_who_has_no_case_behind_a_group_is_not_compared_in_it() -> None:
    without = replace(sent("b", 2, LORA), support={PEFT: 4})
    found = products_by_group(drawn(0, LORA), [sent("a", 1, LORA), without], base())
    assert {group: products.centers for group, products in found.items()} == {PEFT: ("a", "b"), PET: ("a",)}


def test_payloads_out_of_order_are_refused() -> None:
    with pytest.raises(PayloadError, match="center 'a' came after 'b'"):
        products_by_group(drawn(0, LORA), [sent("b", 1, LORA), sent("a", 2, LORA)], base())
