"""A reply is sealed once: text, frame and hashes are of the same values."""

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from client.outgoing.sealed_reply import seal
from protocol.errors import PayloadError
from protocol.messages.reply import Reply
from protocol.messages.tensors import content_hash
from protocol.messages.text import to_text
from protocol.socket_codec import pack_reply
from tests.support.leaving import REPLY, TENSORS, reply_with


def test_text_frame_and_hashes_are_those_of_the_reply() -> None:
    sealed = seal(REPLY)
    assert (sealed.reply, sealed.text, sealed.frame) == (REPLY, to_text(REPLY), pack_reply(REPLY))
    assert sealed.text_sha256 == hashlib.sha256(to_text(REPLY).encode()).hexdigest()
    assert sealed.content_sha256 == content_hash(TENSORS)


def test_a_reply_without_tensors_has_the_hash_of_none() -> None:
    assert seal(Reply("a", "register")).content_sha256 == hashlib.sha256().hexdigest()


def test_equal_replies_give_equal_bytes() -> None:
    assert seal(REPLY) == seal(replace(REPLY))


@pytest.mark.parametrize("wrong", [{"server_round": "3"}, {"tensors": {"a": np.ones(2)}}], ids=str)
def test_what_is_not_as_declared_is_not_sealed(wrong: dict[str, Any]) -> None:
    with pytest.raises(PayloadError, match=r"server_round|dtype float64"):
        seal(reply_with(**wrong))
