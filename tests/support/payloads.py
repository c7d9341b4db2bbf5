"""A payload as agreed, and the findings about one that is not."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocol.errors import (
    PayloadError,
)
from protocol.messages.payload import Payload
from protocol.messages.tensors import PEFT, PET, Tensors, TensorSpec
from protocol.validation import Expected, validate

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
    phase="lora_a+lora_b",
    frozen_hash="f" * 64,
)


AGREED: dict[str, Any] = {
    "specs": SPECS,
    "backbone_hash": "abc",
    "stage": "adapt",
    "server_round": 3,
    "phase": "lora_a+lora_b",
    "frozen_hash": "f" * 64,
    "registered_cases": 12,
}


def findings_of(payload: Payload, **other: Any) -> list[str]:
    """The findings without their prefix; empty when the payload is accepted."""
    try:
        validate(payload, Expected(**(AGREED | other)))
    except PayloadError as error:
        lines = str(error).splitlines()[1:]
        assert all(line.startswith("  center 'hgj': ") for line in lines)
        return [line.removeprefix("  center 'hgj': ") for line in lines]
    return []


def with_tensor(key: str, array: NDArray[Any]) -> Payload:
    return replace(GOOD, tensors={**GOOD.tensors, key: array})


def without(*keys: str) -> Tensors:
    return {key: array for key, array in GOOD.tensors.items() if key not in keys}
