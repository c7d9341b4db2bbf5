"""Few records for a message, and records that are not as agreed are refused by name."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MessageType, MetricRecord, RecordDict
from safetensors.numpy import save

from protocol.errors import PayloadError
from protocol.flower_codec import (
    claimed_kind,
    message_type,
    read_instruction,
    read_reply,
    reply_content,
    to_message_content,
)
from protocol.messages.instruction import Kind
from protocol.packed_tensors import pack
from tests.support.messages import INSTRUCTION, PAYLOAD, REPLY, reply_json


def test_a_reply_is_read_where_it_lies_in_the_message() -> None:
    """The coordinator only reads it, and 3000 centers' replies are not copied."""
    content = reply_content(REPLY)
    read = read_reply(content).payload
    assert read is not None
    assert np.shares_memory(read.tensors["a"], np.frombuffer(content.array_records["tensors"]["packed"].data, np.uint8))


def with_blob(blob: bytes, *, key: str = "packed", stype: str = "safetensors") -> RecordDict:
    """A reply whose tensors are these bytes."""
    tensors = ArrayRecord({key: Array("float32", (2,), stype, blob)})
    return RecordDict({"header": ConfigRecord({"json": reply_json()}), "tensors": tensors})


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        (RecordDict({}), r"has records \[\], expected \['header', 'tensors'\]"),
        (RecordDict({"header": MetricRecord({}), "tensors": ArrayRecord({})}), "record 'header' has no text"),
        (RecordDict({"header": ConfigRecord({"json": 1}), "tensors": ArrayRecord({})}), "no text in field 'json'"),
        (
            RecordDict({"header": ConfigRecord({"json": reply_json()}), "tensors": MetricRecord({})}),
            "'tensors' is a MetricRec",
        ),
        (with_blob(pack(PAYLOAD.tensors), key="a"), r"record 'tensors' holds \['a'\], expected one array 'packed'"),
        (with_blob(pack(PAYLOAD.tensors), stype="numpy.ndarray"), "expected one array 'packed' in safetensors"),
        (with_blob(b"\x80pickle"), "record 'tensors': 7 bytes are not a safetensors blob"),
    ],
)
def test_records_not_as_agreed_are_refused(content: RecordDict, finding: str) -> None:
    with pytest.raises(PayloadError, match=finding):
        read_reply(content)


def test_a_message_of_many_tensors_holds_few_arrays() -> None:
    """Flower makes a signed call or two for each array of a message, so a hundred tensors must not be a hundred."""
    tensors = {f"layer.{number}": np.ones(3, np.float32) for number in range(100)}
    content = to_message_content(replace(INSTRUCTION, tensors=tensors, reference=tensors))
    assert {name: len(record) for name, record in content.array_records.items()} == {
        "tensors": 1,
        "backbone": 0,
        "reference": 1,
    }


@pytest.mark.parametrize(
    ("part", "blob_of_it", "finding"),
    [
        ("tensors", save({"a": np.ones(1)}), "tensor 'a' has dtype F64"),
        ("backbone", b"", "record 'backbone': 0 bytes are not a safetensors blob"),
    ],
)
def test_a_center_refuses_a_blob_not_as_agreed(part: str, blob_of_it: bytes, finding: str) -> None:
    content = to_message_content(INSTRUCTION)
    content[part] = ArrayRecord({"packed": Array("float32", (1,), "safetensors", blob_of_it)})
    with pytest.raises(PayloadError, match=finding):
        read_instruction(content)


def test_message_types_are_those_of_flower() -> None:
    """Flower has three; what loads a state and scores it evaluates, what only tells something queries."""
    assert {kind: message_type(kind) for kind in get_args(Kind)} == {
        "register": MessageType.QUERY,
        "train": MessageType.TRAIN,
        "evaluate": MessageType.EVALUATE,
        "compare": MessageType.EVALUATE,
        "observe": MessageType.QUERY,
        "collect": MessageType.QUERY,
        "advertise": MessageType.QUERY,
        "share": MessageType.QUERY,
        "unmask": MessageType.QUERY,
    }


@pytest.mark.parametrize(
    ("text", "of_type", "kind"),
    [
        ('{"kind": "observe", "path": 1}', MessageType.QUERY, "observe"),
        ('{"kind": "compare"}', MessageType.EVALUATE, "compare"),
        ('{"kind": "compare"}', MessageType.QUERY, "register"),
        ('{"kind": "spy"}', MessageType.EVALUATE, "evaluate"),
        ('{"kind": ["observe"]}', MessageType.QUERY, "register"),
        ("[]", MessageType.TRAIN, "train"),
        ("{", MessageType.EVALUATE, "evaluate"),
    ],
)
def test_the_kind_is_read_where_nothing_else_can_be(text: str, of_type: str, kind: str) -> None:
    assert claimed_kind(RecordDict({"header": ConfigRecord({"json": text})}), of_type) == kind


def test_a_message_without_a_header_is_of_the_first_kind_of_its_type() -> None:
    assert claimed_kind(RecordDict({}), MessageType.EVALUATE) == "evaluate"
