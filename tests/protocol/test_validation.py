"""A payload is taken whole or refused with everything that is wrong with it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from protocol.errors import (
    FrozenMovedError,
    GainError,
    LateError,
    NonFiniteError,
    OtherBackboneError,
    PayloadError,
    PhaseError,
    SupportError,
)
from protocol.messages.payload import Payload
from protocol.messages.tensors import PEFT, PET, TensorSpec
from protocol.validation import Expected, validate
from tests.support.payloads import AGREED, GOOD, SPECS, findings_of, with_tensor, without

MOVED_FINDING = (
    f"frozen_hash is '{'e' * 64}', expected '{'f' * 64}': "
    "a tensor that must stand still in this round moved at the center"
)


def test_a_payload_as_agreed_is_accepted() -> None:
    assert findings_of(GOOD) == []


def test_a_center_without_pet_is_accepted() -> None:
    assert findings_of(replace(GOOD, tensors=without("pet_embedding.weight"), support={PEFT: 12})) == []


def test_a_payload_without_any_tensor_is_refused() -> None:
    """Support of no case for a group that did not come contradicts nothing, yet such a payload carries nothing."""
    nothing = replace(GOOD, tensors={}, support={})
    finding = "sends no tensor; a center without a usable case answers with an error code"
    assert findings_of(nothing) == [finding]
    assert code_of(nothing) == SupportError.code
    assert findings_of(replace(nothing, support={PET: 0})) == [finding]


def test_support_zero_beside_no_tensor_is_accepted() -> None:
    assert findings_of(replace(GOOD, tensors=without("pet_embedding.weight"), support={PEFT: 12, PET: 0})) == []


@pytest.mark.parametrize(
    ("payload", "finding"),
    [
        (replace(GOOD, backbone_hash="xyz"), "backbone_hash is 'xyz', expected 'abc'"),
        (replace(GOOD, stage="arrive"), "stage is 'arrive', expected 'adapt'"),
        (replace(GOOD, server_round=2), "server_round is 2, expected 3"),
        (
            replace(GOOD, phase="lora_b"),
            "phase is 'lora_b', expected 'lora_a+lora_b': phase 'lora_a+lora_b' trains lora_a, lora_b",
        ),
        (
            replace(GOOD, frozen_hash="e" * 64),
            MOVED_FINDING,
        ),
        (
            with_tensor("qkv#magnitude", np.ones(3, np.float32)),
            "tensor 'qkv#magnitude' is a frozen factor in this round: phase 'lora_a+lora_b' trains lora_a, lora_b",
        ),
        (
            with_tensor("qkv#residual_a", np.ones((1, 3), np.float32)),
            "tensor 'qkv#residual_a' is a frozen factor in this round: phase 'lora_a+lora_b' trains lora_a, lora_b",
        ),
        (
            with_tensor("qkv#lora_a@control", np.ones((2, 3), np.float32)),
            "tensor 'qkv#lora_a@control' is unknown, expected only tensors of the study's specs for this stage",
        ),
        (
            with_tensor("head.bias", np.ones(1, np.float32)),
            "tensor 'head.bias' is unknown, expected only tensors of the study's specs for this stage",
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
        validate(GOOD, Expected(**(AGREED | {"server_round": 9})))


def code_of(payload: Payload, **other: Any) -> str:
    with pytest.raises(PayloadError) as caught:
        validate(payload, Expected(**(AGREED | other)))
    return caught.value.code


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (with_tensor("head.bias", np.ones(1, np.float32)), PayloadError),
        (with_tensor("qkv#lora_a", np.ones((4, 3), np.float32)), PayloadError),
        (with_tensor("qkv#lora_a", np.full((2, 3), np.inf, np.float32)), NonFiniteError),
        (replace(GOOD, backbone_hash="xyz"), OtherBackboneError),
        (replace(GOOD, stage="arrive"), PayloadError),
        (replace(GOOD, server_round=2), LateError),
        (replace(GOOD, server_round=4), PayloadError),
        (replace(GOOD, phase="lora_b"), PhaseError),
        (with_tensor("qkv#magnitude", np.ones(3, np.float32)), PhaseError),
        (replace(GOOD, frozen_hash=""), FrozenMovedError),
        (replace(GOOD, support={PEFT: 13, PET: 8}), SupportError),
    ],
)
def test_the_code_tells_which_defect(payload: Payload, error: type[PayloadError]) -> None:
    assert code_of(payload) == error.code


def test_the_first_finding_in_order_decides_the_code() -> None:
    """Support, phase, values and shape are wrong at once: shape comes first, values next."""
    wrong = replace(GOOD, phase="", support={PEFT: 99})
    assert code_of(wrong) == "phase"
    unsound = with_tensor("qkv#lora_a", np.full((2, 3), np.nan, np.float32))
    assert code_of(replace(unsound, phase="")) == "non-finite"
    short = {**unsound.tensors, "qkv#lora_b": np.ones((1, 2), np.float32)}
    assert code_of(replace(unsound, tensors=short)) == "payload"


def test_a_center_that_trained_the_other_factor_is_told_so() -> None:
    """In a phase B only B is exchanged; the center sends A, of the phase before."""
    payload = replace(GOOD, tensors={"qkv#lora_a": np.ones((2, 3), np.float32)}, support={}, phase="lora_a")
    found = findings_of(payload, specs=SPECS[1:2], phase="lora_b")
    assert found == [
        "tensor 'qkv#lora_a' is a frozen factor in this round: phase 'lora_b' trains lora_b",
        "phase is 'lora_a', expected 'lora_b': phase 'lora_b' trains lora_b",
    ]


def test_a_round_that_trains_no_shared_factor_says_so() -> None:
    payload = replace(GOOD, tensors=without("qkv#lora_b", "pet_embedding.weight"), support={}, phase="")
    assert findings_of(payload, specs=SPECS[2:], phase="") == [
        "tensor 'qkv#lora_a' is a frozen factor in this round: phase '' trains no factor of the shared adapter"
    ]


MAGNITUDE = (TensorSpec("qkv#magnitude", PEFT, (3,)),)


def with_magnitude(*values: float) -> Payload:
    return replace(GOOD, tensors={"qkv#magnitude": np.array(values, np.float32)}, support={PEFT: 12}, phase="magnitude")


def test_magnitudes_must_be_positive() -> None:
    found = findings_of(with_magnitude(1, 0, -2), specs=MAGNITUDE, phase="magnitude")
    wrong = "tensor 'qkv#magnitude' has 2 value(s) of 3 that are not positive"
    assert found == [f"{wrong}, expected row gains d = m / ||W0 + s B A|| > 0"]
    assert code_of(with_magnitude(1, 0, 1), specs=MAGNITUDE, phase="magnitude") == GainError.code
    assert findings_of(with_magnitude(1, 1e-9, 1), specs=MAGNITUDE, phase="magnitude") == []


def test_gains_are_asked_of_sound_payloads_only() -> None:
    asked: list[str] = []

    def gains(payload: Payload) -> list[str]:
        asked.append(payload.center)
        return ["module 'qkv' has row gain 1e-4, expected at least 1e-3"]

    found = findings_of(with_magnitude(1, 1, 1), specs=MAGNITUDE, phase="magnitude", gains=gains)
    assert found == ["module 'qkv' has row gain 1e-4, expected at least 1e-3"]
    assert code_of(with_magnitude(1, 1, 1), specs=MAGNITUDE, phase="magnitude", gains=gains) == GainError.code
    assert len(asked) == 2
    assert len(findings_of(with_magnitude(1, 1), specs=MAGNITUDE, phase="magnitude", gains=gains)) == 1
    assert len(asked) == 2


CONTROLS = tuple(TensorSpec(f"{spec.key}@control", PEFT, spec.shape) for spec in SPECS[:2])


def test_statistics_beside_a_group_come_whole_or_not_at_all() -> None:
    both = {spec.key: np.full(spec.shape, -1, np.float32) for spec in CONTROLS}
    expecting = SPECS + CONTROLS
    assert findings_of(GOOD, specs=expecting) == []
    assert findings_of(replace(GOOD, tensors={**GOOD.tensors, **both}), specs=expecting) == []
    del both["qkv#lora_b@control"]
    assert findings_of(replace(GOOD, tensors={**GOOD.tensors, **both}), specs=expecting) == [
        "tensor 'qkv#lora_b@control' is missing, expected all 2 tensors of group 'peft@control' or none"
    ]


def test_statistics_do_not_stand_in_for_their_group() -> None:
    """Support of 12 cases behind `peft`, of which only the control variates came."""
    controls = {spec.key: np.ones(spec.shape, np.float32) for spec in CONTROLS}
    payload = replace(GOOD, tensors=controls, support={PEFT: 12})
    assert findings_of(payload, specs=SPECS + CONTROLS) == [
        "support of group 'peft' is 12 but none of its 2 tensor(s) came, expected all"
    ]
