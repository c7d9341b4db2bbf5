"""What a center answers, and its tensors."""

from dataclasses import replace

import numpy as np
import pytest

from protocol.errors import PayloadError
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
