"""A payload is taken whole or refused with everything that is wrong with it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from strategies.admission import admit
from strategies.errors import PayloadError
from strategies.payload import Payload
from strategies.tensors import PEFT, PET, Tensors, TensorSpec

SPECS = (
    TensorSpec("qkv#lora_a", PEFT, (2, 3)),
    TensorSpec("qkv#lora_b", PEFT, (3, 2)),
    TensorSpec("pet_embedding.weight", PET, (4,)),
)
GOOD = Payload(
    center="hgj",
    backbone_hash="abc",
    stage="adapt",
    server_round=3,
    tensors={spec.key: np.ones(spec.shape, np.float32) for spec in SPECS},
    support={PEFT: 12, PET: 8},
)


def findings_of(payload: Payload) -> list[str]:
    """The findings without their prefix; empty when the payload is admitted."""
    try:
        admit(payload, specs=SPECS, backbone_hash="abc", stage="adapt", server_round=3, registered_cases=12)
    except PayloadError as error:
        lines = str(error).splitlines()[1:]
        assert all(line.startswith("  center 'hgj': ") for line in lines)
        return [line.removeprefix("  center 'hgj': ") for line in lines]
    return []


def with_tensor(key: str, array: NDArray[Any]) -> Payload:
    return replace(GOOD, tensors={**GOOD.tensors, key: array})


def without(*keys: str) -> Tensors:
    return {key: array for key, array in GOOD.tensors.items() if key not in keys}


def test_a_payload_as_agreed_is_admitted() -> None:
    assert findings_of(GOOD) == []


def test_a_center_without_pet_is_admitted() -> None:
    assert findings_of(replace(GOOD, tensors=without("pet_embedding.weight"), support={PEFT: 12})) == []


def test_support_zero_beside_no_tensor_is_admitted() -> None:
    assert findings_of(replace(GOOD, tensors=without("pet_embedding.weight"), support={PEFT: 12, PET: 0})) == []


@pytest.mark.parametrize(
    ("payload", "finding"),
    [
        (replace(GOOD, backbone_hash="xyz"), "backbone_hash is 'xyz', expected 'abc'"),
        (replace(GOOD, stage="arrive"), "stage is 'arrive', expected 'adapt'"),
        (replace(GOOD, server_round=2), "server_round is 2, expected 3"),
        (
            with_tensor("head.bias", np.ones(1, np.float32)),
            "tensor 'head.bias' is unknown, expected only tensors of the study's ledger for this stage",
        ),
        (
            replace(GOOD, tensors=without("qkv#lora_b")),
            "tensor 'qkv#lora_b' is missing, expected all 2 tensors of group 'peft' or none",
        ),
        (
            with_tensor("qkv#lora_a", np.ones((4, 3), np.float32)),
            "tensor 'qkv#lora_a' has shape (4, 3), expected (2, 3)",
        ),
        (with_tensor("qkv#lora_a", np.ones((2, 3))), "tensor 'qkv#lora_a' has dtype float64, expected float32"),
        (with_tensor("qkv#lora_a", np.ones((2, 3), ">f4")), "tensor 'qkv#lora_a' has dtype >f4, expected float32"),
        (
            with_tensor("qkv#lora_a", np.ones((2, 3), object)),
            "tensor 'qkv#lora_a' has dtype object, expected float32",
        ),
        (
            with_tensor("pet_embedding.weight", np.array([1, np.nan, np.inf, 2], np.float32)),
            "tensor 'pet_embedding.weight' has 2 non-finite value(s) of 4, expected none",
        ),
        (
            replace(GOOD, support={PEFT: 13, PET: 8}),
            "support of group 'peft' is 13, expected 0 to 12 registered training cases",
        ),
        (
            replace(GOOD, support={PEFT: -1, PET: 8}),
            "support of group 'peft' is -1, expected 0 to 12 registered training cases",
        ),
        (
            replace(GOOD, support={PEFT: 12}),
            "support of group 'pet' is missing, expected a count beside its 1 tensor(s)",
        ),
        (
            replace(GOOD, support={PEFT: 12, PET: 0}),
            "1 tensor(s) of group 'pet' came with support 0, expected none: absent is not zero",
        ),
        (
            replace(GOOD, tensors=without("pet_embedding.weight")),
            "support of group 'pet' is 8 but none of its 1 tensor(s) came, expected all",
        ),
        (
            replace(GOOD, support={**GOOD.support, "backbone": 1}),
            "support names group 'backbone', expected groups ['peft', 'pet']",
        ),
    ],
)
def test_each_defect_is_one_finding(payload: Payload, finding: str) -> None:
    assert findings_of(payload) == [finding]


def test_all_findings_are_listed_at_once() -> None:
    payload = replace(
        with_tensor("qkv#lora_a", np.full((4, 3), np.nan)), backbone_hash="xyz", server_round=4, support={PEFT: 99}
    )
    assert len(findings_of(payload)) == 6


def test_the_message_names_center_stage_and_round() -> None:
    expected = r"center 'hgj': payload for stage 'adapt', round 9 refused with 1 finding\(s\)"
    with pytest.raises(PayloadError, match=expected):
        admit(GOOD, specs=SPECS, backbone_hash="abc", stage="adapt", server_round=9, registered_cases=12)
