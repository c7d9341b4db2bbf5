"""What every row of the scheme table promises of adapter banks by modality."""

import numpy as np
import pytest
from numpy.typing import NDArray

from protocol.messages.payload import Payload
from protocol.messages.settings import Aggregation, Role, ServerOptimiser
from protocol.messages.tensors import Tensors, role_of
from strategies.aggregation.contract import Base
from strategies.aggregation.schemes import SCHEMES
from strategies.aggregation.server_optimisers import OPTIMISERS
from tests.support.drawn_tensors import bits, drawn

Array = NDArray[np.float32]


BANKS = ("ct", "pet", "fusion")


def banked(values: dict[str, float]) -> dict[str, Array]:
    """B of each bank, one number, beside A = 1."""
    factors = {f"qkv.{bank}_bank#lora_b": np.full((1, 1), value, np.float32) for bank, value in values.items()}
    return factors | {f"qkv.{bank}_bank#lora_a": np.ones((1, 1), np.float32) for bank in values}


@pytest.mark.parametrize("name", [name for name, scheme in SCHEMES.items() if scheme.exchanges])
def test_each_bank_is_the_mean_of_the_centers_that_reached_it(name: str) -> None:
    """CT's of `a`, 1, and of `b`, 3, is 2; PET's is `a`'s 5, with `b` away; that of both, which nobody has, stays 7."""
    row, settings = SCHEMES[name], Aggregation(scheme=name, ridge=1e-9, density=1.0)
    roles = row.live(0, settings)
    shared = banked({"ct": 0.0, "pet": 0.0, "fusion": 7.0})
    grams = {f"qkv.{bank}_bank@gram": np.ones((1, 1), np.float32) for bank in BANKS}
    sent = {"a": banked({"ct": 1.0, "pet": 5.0}), "b": banked({"ct": 3.0})}
    payloads = [
        Payload(
            center,
            "",
            "adapt",
            1,
            {key: array for key, array in {**tensors, **grams}.items() if role_of(key) in (*roles, "")},
            {f"peft.{bank}": 4 for bank in BANKS if f"qkv.{bank}_bank#lora_b" in tensors},
        )
        for center, tensors in sent.items()
    ]
    found = row.aggregate(shared, iter(payloads), Base({}, {}, 1.0, 1, settings, roles), {}).shared
    product = {bank: effective_product(found, f"qkv.{bank}_bank") for bank in BANKS}
    kept = row.keeps("qkv.ct_bank#lora_b")
    assert product == pytest.approx({"ct": 0 if kept else 2, "pet": 0 if kept else 5, "fusion": 7}, rel=1e-5)
    assert all(found[key].tobytes() == array.tobytes() for key, array in shared.items() if "fusion" in key)


def factors_of(banks: tuple[str, ...], seed: int) -> dict[str, Array]:
    """Factors (3, 1) and (1, 4) of banks: two centers' mean product has no room in one of rank 1."""
    shapes = {"lora_a": (1, 4), "lora_b": (3, 1)}
    return drawn(seed, {f"qkv.{bank}_bank#{role}": shape for bank in banks for role, shape in shapes.items()})


@pytest.mark.parametrize(
    ("name", "optimiser"),
    [
        (name, optimiser)
        for name, scheme in SCHEMES.items()
        for optimiser in (OPTIMISERS if scheme.optimised else ["mean"])
        if scheme.exchanges
    ],
)
def test_what_earlier_rounds_left_moves_no_bank_when_a_center_without_pet_is_alone(name: str, optimiser: str) -> None:
    """Neither a residual nor the moments of a server optimiser: two rounds with PET, then four of CT alone."""
    row = SCHEMES[name]
    settings = Aggregation(scheme=name, server_optimiser=ServerOptimiser(name=optimiser), residual_rank=8)
    shared: Tensors = factors_of(BANKS, 0)
    moments: Tensors = {}
    for completed in range(6):
        roles = row.live(completed, settings)
        reached = {"a": BANKS, "b": ("ct",), "c": BANKS} if completed < 2 else {"b": ("ct",)}
        payloads = [
            sent_of_banks(center, banks, roles, seed=10 * completed + place)
            for place, (center, banks) in enumerate(reached.items())
        ]
        found = row.aggregate(shared, iter(payloads), Base({}, {}, 1.0, 1, settings, roles, seed=completed), moments)
        if completed >= 2:
            assert not_of_ct(found.shared) == not_of_ct(shared)
            assert not_of_ct(found.moments) == not_of_ct(moments)
        shared, moments = found.shared, found.moments


def sent_of_banks(center: str, banks: tuple[str, ...], roles: tuple[Role, ...], seed: int) -> Payload:
    """What a center sends of the banks that its cases reach, with the Gram roots of their inputs."""
    moved = {key: array for key, array in factors_of(banks, seed).items() if role_of(key) in roles}
    grams = {f"qkv.{bank}_bank@gram": np.eye(4, dtype=np.float32) for bank in banks}
    return Payload(center, "", "adapt", 1, {**moved, **grams}, {f"peft.{bank}": 4 for bank in banks})


def not_of_ct(tensors: Tensors) -> dict[str, tuple[tuple[int, ...], bytes]]:
    return {key: found for key, found in bits(tensors).items() if "ct_bank" not in key}


def effective_product(tensors: Tensors, module: str) -> float:
    """B A and the residual of a module of one number."""
    pairs = [("lora_b", "lora_a"), ("residual_b", "residual_a")]
    return sum(
        float((tensors[f"{module}#{b}"] @ tensors[f"{module}#{a}"]).item())
        for b, a in pairs
        if f"{module}#{b}" in tensors
    )
