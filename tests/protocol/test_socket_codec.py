"""What is no frame of ours is refused, and what is wrong with it named."""

import struct
from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from safetensors.numpy import save

from protocol.errors import PayloadError
from protocol.socket_codec import pack_instruction, pack_reply, unpack_reply
from tests.support.hostile_tensors import HOSTILE_TENSORS
from tests.support.messages import INSTRUCTION, REPLY, reply_json


@pytest.mark.parametrize(
    ("frame", "finding"),
    [
        (b"", "0 bytes are not a safetensors blob"),
        (struct.pack("<Q", 2**40) + b"{}", "not a safetensors blob"),
        (pack_reply(REPLY)[:-1], r"the blob has \d+ bytes, its tensors need"),
        (save({}), r"blob has metadata \[\], expected only 'header'"),
        (save({"scan/ct": np.ones(1, np.float32)}, metadata={"header": "{}"}), "'scan/ct' is in no known part"),
        (save({"payload/a": np.ones(1, np.int32)}, metadata={"header": reply_json()}), "'payload/a' has dtype I32"),
        (pack_instruction(replace(INSTRUCTION, tensors={})), "center: Field required"),
    ],
)
def test_frames_not_as_agreed_are_refused(frame: bytes, finding: str) -> None:
    with pytest.raises(PayloadError, match=finding):
        unpack_reply(frame)


def test_frames_of_equal_replies_are_equal_bytes() -> None:
    assert pack_reply(REPLY) == pack_reply(replace(REPLY))


def test_no_hostile_frame_is_taken() -> None:
    """Every hostile blob of the table in the place of a frame; values that are not finite are the egress's to find."""
    frame = pack_reply(REPLY)
    content = RecordDict(
        {
            "header": ConfigRecord({"json": reply_json()}),
            "tensors": ArrayRecord({"packed": Array("float32", (4,), "safetensors", frame)}),
        }
    )
    for name, hostile in HOSTILE_TENSORS.items():
        blob = hostile(content).array_records["tensors"]["packed"].data
        if not name.startswith("values: "):
            with pytest.raises(PayloadError):
                unpack_reply(blob)
