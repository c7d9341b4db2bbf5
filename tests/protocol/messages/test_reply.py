"""What a center answers: its tensors, and what a comparison cannot be."""

from dataclasses import replace

import numpy as np
import pytest

from protocol.errors import PayloadError
from protocol.messages.reply import Comparison, comparison_findings
from tests.support.messages import PAYLOAD, REPLY

TENSORS = {"b": np.zeros(1, np.float32)}


def test_the_tensors_of_a_reply_are_its_payloads() -> None:
    assert REPLY.tensors is PAYLOAD.tensors
    assert replace(REPLY, payload=None).tensors == {}


def test_a_reply_takes_other_tensors_into_its_payload() -> None:
    found = REPLY.with_tensors(TENSORS)
    assert found.tensors is TENSORS
    assert replace(found, payload=PAYLOAD) == REPLY


def test_tensors_beside_no_payload_are_refused() -> None:
    bare = replace(REPLY, payload=None)
    assert bare.with_tensors({}) is bare
    with pytest.raises(PayloadError, match="reply of center 'hgj': field payload is null beside 1 tensor"):
        bare.with_tensors(TENSORS)


@pytest.mark.parametrize(
    ("comparison", "findings"),
    [
        (Comparison(0, None), []),
        (Comparison(9, -1.0, (1.0, -1.0)), []),
        (Comparison(-1, 1.5), ["cases is negative, expected a count", "difference is outside [-1, 1]"]),
        (Comparison(9, None, (2.0, 0.0)), ["1 of 2 replicate(s) are outside [-1, 1]"]),
        (Comparison(9, None, (0.0,) * 1001), ["has 1001 replicates, expected at most 1000"]),
    ],
)
def test_what_a_comparison_cannot_be(comparison: Comparison, findings: list[str]) -> None:
    assert list(comparison_findings(comparison)) == findings
