"""Of a masked round its rows leave, whole and in the agreed shape; a plain tensor among them stops them all."""

import numpy as np
import pytest

from client.outgoing.masked_egress import is_masked, masked_findings
from protocol.messages.payload import Payload
from protocol.messages.tensors import Tensors, TensorSpec

SPECS = (TensorSpec("masked.peft", "masked.peft", (2, 3)),)
ROW = np.ones((2, 3), np.float32)


def findings(tensors: Tensors, **changed: object) -> list[str]:
    payload = Payload("a", "", "adapt", 1, tensors, **changed)  # type: ignore[arg-type]
    return list(masked_findings(payload, SPECS))


def test_the_rows_of_the_round_may_leave() -> None:
    assert findings({"masked.peft": ROW}) == []


@pytest.mark.parametrize(
    ("tensors", "why"),
    [
        ({"masked.peft": ROW, "qkv#lora_b": ROW}, "are to leave, the sum has"),
        ({}, "are to leave"),
        ({"masked.peft": ROW[:1]}, "has shape (1, 3)"),
        ({"masked.peft": ROW.astype(np.float64)}, "float64"),
        ({"masked.peft": ROW / 2}, "6 value(s) of 6 that are no integers"),
    ],
)
def test_anything_else_stays(tensors: Tensors, why: str) -> None:
    assert why in "; ".join(findings(tensors))


def test_counts_beside_masked_rows_stay() -> None:
    assert "expected none" in findings({"masked.peft": ROW}, support={"peft": 5})[0]


def test_one_plain_tensor_makes_a_payload_plain() -> None:
    assert is_masked(Payload("a", "", "adapt", 1, {"masked.peft": ROW}))
    assert not is_masked(Payload("a", "", "adapt", 1, {"masked.peft": ROW, "w": ROW}))
    assert not is_masked(Payload("a", "", "adapt", 1))
