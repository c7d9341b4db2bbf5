"""Instructions and replies come back equal from Flower records and from a local frame; tensors bit for bit."""

import json
import struct
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, get_args

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MessageType, MetricRecord, RecordDict
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from safetensors.numpy import save

from protocol import flower_codec as wire
from protocol import socket_codec as frames
from protocol.errors import PayloadError
from protocol.messages.instruction import Instruction, Kind
from protocol.messages.payload import Payload
from protocol.messages.reply import Comparison, Reply, Score
from protocol.messages.settings import SETTINGS, Adapter, Model, StudySettings, Training
from protocol.messages.tensors import tensor_bytes

Through = Callable[[Any], Any]

KINDS = st.sampled_from(get_args(Kind))
COUNTS = st.integers(0, 10**6)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
NAMES = st.text(max_size=12)
KEYS = st.sampled_from(["blocks.0.attn.qkv#lora_a", "tensors/a", "/"]) | st.text(min_size=1, max_size=20)
TENSORS = st.dictionaries(
    KEYS, arrays(np.float32, array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)), max_size=4
)
STUDIES = st.builds(
    StudySettings,
    study=NAMES,
    seed=st.integers(0, 2**63),
    model=st.builds(
        Model,
        name=NAMES,
        options=st.dictionaries(NAMES, st.booleans() | COUNTS | FINITE | NAMES | st.tuples(COUNTS, COUNTS), max_size=4),
    ),
    adapter=st.builds(Adapter, targets=st.lists(NAMES, max_size=2).map(tuple)),
)
TRAININGS = st.builds(
    Training,
    groups=st.sampled_from([("backbone",), ("pet", "peft"), ("center", "norm")]),
    roles=st.sampled_from([(), ("lora_b", "magnitude")]),
    terms=st.fixed_dictionaries({"scaffold": st.booleans(), "ewc": st.floats(0, 9)}),
    validate_first=st.booleans(),
    local_steps=st.integers(1, 999),
    learning_rate=st.floats(1e-9, 1),
    modality_shares=st.dictionaries(st.sampled_from(SETTINGS), st.floats(0, 1)),
)
INSTRUCTIONS = st.builds(
    Instruction,
    kind=KINDS,
    settings=STUDIES,
    stage=NAMES,
    server_round=COUNTS,
    backbone_hash=NAMES,
    training=st.none() | TRAININGS,
    tensors=TENSORS,
    backbone=TENSORS,
    reference=TENSORS,
    statistics=st.lists(st.sampled_from(["gram", "fisher", "prototype"]), max_size=3).map(tuple),
)
SCORES = st.builds(Score, cases=COUNTS, dice=st.none() | FINITE, hd95_mm=st.none() | FINITE, dice_undefined=COUNTS)
PAYLOADS = st.builds(
    Payload,
    center=NAMES,
    backbone_hash=NAMES,
    stage=NAMES,
    server_round=COUNTS,
    tensors=TENSORS,
    support=st.dictionaries(NAMES, COUNTS, max_size=3),
    phase=NAMES,
    frozen_hash=NAMES,
)
COMPARISONS = st.builds(
    Comparison,
    cases=COUNTS,
    difference=st.none() | st.floats(-1, 1),
    replicates=st.lists(st.floats(-1, 1), max_size=5).map(tuple),
)
REPLIES = st.builds(
    Reply,
    center=NAMES,
    kind=KINDS,
    error=NAMES,
    payload=st.none() | PAYLOADS,
    scores=st.dictionaries(st.sampled_from(SETTINGS), SCORES),
    comparison=st.none() | COMPARISONS,
    diagnostics=st.dictionaries(st.sampled_from(["gate/0/ct/mean", "gate/3/pet/std"]), st.floats(0, 0.5)),
    loss=st.none() | FINITE,
    seconds=FINITE,
    facts=st.dictionaries(NAMES, COUNTS | FINITE | NAMES, max_size=4),
)
SETTINGS_SMALL = StudySettings(study="s", seed=1, model=Model(name="pemma-unetr"))
INSTRUCTION = Instruction(kind="train", settings=SETTINGS_SMALL, tensors={"a": np.arange(6, dtype=np.float32)})
PAYLOAD = Payload("hgj", "abc", "adapt", 3, {"a": np.ones((2, 2), np.float32)}, {"peft": 12})
REPLY = Reply(center="hgj", kind="train", payload=PAYLOAD, scores={"ct": Score(3, 0.5, None, 0, 3)}, loss=0.25)


def through_flower(value: Any) -> Any:
    if isinstance(value, Instruction):
        return wire.read_instruction(wire.to_message_content(value))
    return wire.read_reply(wire.reply_content(value))


def through_a_frame(value: Any) -> Any:
    if isinstance(value, Instruction):
        return frames.unpack_instruction(frames.pack_instruction(value))
    return frames.unpack_reply(frames.pack_reply(value))


def changed(value: Any, **new: Any) -> Any:
    """`value` with fields that its type forbids."""
    return replace(value, **new)


ENCODINGS = [through_flower, through_a_frame]


def exactly(value: Any) -> Any:
    """A value with arrays replaced by shape, dtype and bytes, so that `==` means bit for bit."""
    if isinstance(value, Instruction | Reply | Payload):
        return {field.name: exactly(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {key: exactly(item) for key, item in value.items()}
    return (value.shape, value.dtype, value.tobytes()) if isinstance(value, np.ndarray) else (type(value), value)


@pytest.mark.parametrize("through", ENCODINGS)
@given(value=INSTRUCTIONS | REPLIES)
def test_round_trip(through: Through, value: Any) -> None:
    assert exactly(through(value)) == exactly(value)


@pytest.mark.parametrize("through", ENCODINGS)
def test_arrays_that_are_views_keep_their_values(through: Through) -> None:
    view = np.arange(12, dtype=np.float32).reshape(3, 4).T[::2]
    assert through(replace(INSTRUCTION, tensors={"a": view})).tensors["a"].tolist() == view.tolist()


@pytest.mark.parametrize("through", ENCODINGS)
def test_big_endian_arrays_keep_their_values(through: Through) -> None:
    tensors = through(replace(INSTRUCTION, tensors={"a": np.array([1, 2], ">f4")})).tensors
    assert (tensors["a"].tolist(), tensors["a"].dtype.str) == ([1.0, 2.0], "<f4")


@pytest.mark.parametrize("through", ENCODINGS)
def test_what_arrives_at_a_center_can_be_written_to(through: Through) -> None:
    """Libraries warn about read-only arrays."""
    assert through(INSTRUCTION).tensors["a"].flags.writeable


def test_a_reply_is_read_where_it_lies_in_the_message() -> None:
    """The coordinator only reads it, and 3000 centers' replies are not copied."""
    content = wire.reply_content(REPLY)
    read = wire.read_reply(content).payload
    assert read is not None
    assert np.shares_memory(read.tensors["a"], np.frombuffer(content.array_records["tensors"]["packed"].data, np.uint8))


@pytest.mark.parametrize("through", ENCODINGS)
def test_other_dtypes_are_refused_by_name(through: Through) -> None:
    wrong: Any = {"x": np.ones(2), "y": np.ones(2, np.float16)}
    with pytest.raises(PayloadError, match="'x' has dtype float64, expected float32; tensor 'y' has dtype float16"):
        through(replace(INSTRUCTION, tensors=wrong))


@pytest.mark.parametrize("through", ENCODINGS)
@pytest.mark.parametrize(
    ("value", "field"),
    [
        (changed(REPLY, loss=float("nan")), "loss"),
        (changed(REPLY, diagnostics={"gate/0/ct/mean": float("nan")}), r"diagnostics\.gate/0/ct/mean"),
        (
            changed(REPLY, diagnostics={"gate/0/ct/std": 0.6}),
            r"diagnostics: .*gate/0/ct/std' is not a number in \[0, 0",
        ),
        (changed(REPLY, scores={"ct": Score(3, float("inf"), None)}), r"scores\.ct\.dice"),
        (changed(REPLY, facts={"cases": True}), r"facts\.cases"),
        (changed(REPLY, payload=changed(PAYLOAD, support={"peft": 1.5})), r"payload\.support\.peft"),
        (changed(REPLY, kind="spy"), "kind"),
        (changed(REPLY, comparison=Comparison(-1, None)), "comparison: .*cases is negative"),
        (changed(REPLY, comparison=Comparison(3, 1.5)), r"comparison: .*difference is outside \[-1, 1\]"),
        (changed(REPLY, comparison=Comparison(3, None, (0.5, -1.5))), r"comparison: .*1 of 2 replicate"),
        (changed(REPLY, comparison=Comparison(3, None, (0.0,) * 1001)), "has 1001 replicates, expected at most 1000"),
        (changed(REPLY, comparison=Comparison(3, float("nan"))), "comparison.difference"),
        (changed(REPLY, comparison=Comparison(3, 0.5, (float("nan"),))), "comparison.replicates.0"),
        (changed(INSTRUCTION, statistics=("histogram",)), "statistics.0"),
        (changed(INSTRUCTION, server_round="3"), "server_round"),
    ],
)
def test_a_wrong_field_is_refused_before_it_travels(through: Through, value: Any, field: str) -> None:
    with pytest.raises(PayloadError, match=field):
        through(value)


def reply_json(**changes: Any) -> str:
    """The text of `REPLY` with fields replaced, or removed where the new value is `...`."""
    text = json.loads(str(wire.reply_content(REPLY)["header"]["json"]))
    return json.dumps({key: value for key, value in {**text, **changes}.items() if value is not ...})


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"center": ...}, "center: Field required"),
        ({"seconds": "1.0"}, "seconds: Input should be a valid number"),
        ({"path": "/data"}, "path: Unexpected keyword argument"),
        ({"scores": {"ct": {"cases": 1, "dice": None, "hd95_mm": None, "names": 1}}}, "scores.ct.names: Unexpected"),
        ({"diagnostics": {"gate/0/mr/mean": 0.5}}, "diagnostics: .*'gate/0/mr/mean' is not in the table"),
        ({"diagnostics": ...}, "diagnostics: Field required"),
        ({"payload": None}, "field payload is null beside 1 tensor"),
    ],
)
def test_a_text_not_as_agreed_is_refused_with_the_fields_name(changes: dict[str, Any], finding: str) -> None:
    header, tensors = reply_json(**changes), dict(PAYLOAD.tensors)
    content = wire.reply_content(REPLY)
    content["header"] = ConfigRecord({"json": header})
    frame = save({f"payload/{key}": array for key, array in tensors.items()}, metadata={"header": header})
    with pytest.raises(PayloadError, match=finding):
        wire.read_reply(content)
    with pytest.raises(PayloadError, match=finding):
        frames.unpack_reply(frame)


def test_a_missing_field_of_an_instruction_is_named() -> None:
    content = wire.to_message_content(INSTRUCTION)
    text = json.loads(str(content["header"]["json"]))
    del text["settings"]["seed"]
    content["header"] = ConfigRecord({"json": json.dumps(text)})
    with pytest.raises(PayloadError, match=r"instruction.*\n  settings\.seed: Field required"):
        wire.read_instruction(content)


def test_a_refused_value_is_not_repeated_in_the_error() -> None:
    with pytest.raises(PayloadError) as caught:
        frames.unpack_reply(save({}, metadata={"header": reply_json(seconds="DOE^JOHN")}))
    assert "DOE" not in str(caught.value)


def with_blob(blob: bytes, *, key: str = "packed", stype: str = "safetensors") -> RecordDict:
    """A reply whose tensors are these bytes."""
    tensors = ArrayRecord({key: Array("float32", (2,), stype, blob)})
    return RecordDict({"header": ConfigRecord({"json": reply_json()}), "tensors": tensors})


def blob(data: bytes = b"\0" * 8, **entry: Any) -> bytes:
    """A blob of one tensor `a` of two values, with its entry in the header changed."""
    header = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **entry}}).encode()
    return struct.pack("<Q", len(header)) + header + data


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        (RecordDict({}), r"has records \[\], expected \['header', 'tensors'\]"),
        (RecordDict({"header": MetricRecord({}), "tensors": ArrayRecord({})}), "record 'header' has no text"),
        (RecordDict({"header": ConfigRecord({"json": 1}), "tensors": ArrayRecord({})}), "no text in field 'json'"),
        (RecordDict({"header": ConfigRecord({"json": ""}), "tensors": MetricRecord({})}), "'tensors' is a MetricRec"),
        (with_blob(blob(), key="a"), r"record 'tensors' holds \['a'\], expected one array 'packed'"),
        (with_blob(blob(), stype="numpy.ndarray"), "expected one array 'packed' in safetensors"),
        (with_blob(b"\x80pickle"), "record 'tensors': 7 bytes are not a safetensors blob"),
        (with_blob(blob(dtype="F64", shape=[1])), "tensor 'a' has dtype F64, expected float32"),
        (with_blob(blob(shape=[3])), r"tensor 'a' of shape \(3,\) lies in 8 bytes"),
        (with_blob(blob(shape=[-1, -2])), r"tensor 'a' has shape \(-1, -2\) from byte 0 to 8"),
        (with_blob(blob(shape=["2"])), r"tensor 'a' has shape \('2',\) from byte 0 to 8"),
        (with_blob(blob(data_offsets=[4, 12])), "tensor 'a' begins at byte 4 of the blob, expected 0"),
        (with_blob(blob(data_offsets=[0])), "not a safetensors blob"),
        (with_blob(blob()[:-4]), r"the blob has \d+ bytes, its tensors need"),
        (with_blob(blob(b"\0" * 12)), r"the blob has \d+ bytes, its tensors need"),
        (with_blob(struct.pack("<Q", 4) + b"[1] "), "not a safetensors blob"),
    ],
)
def test_records_not_as_agreed_are_refused(content: RecordDict, finding: str) -> None:
    with pytest.raises(PayloadError, match=finding):
        wire.read_reply(content)


def test_a_message_of_many_tensors_holds_few_arrays() -> None:
    """Flower makes a signed call or two for each array of a message, so a hundred tensors must not be a hundred."""
    tensors = {f"layer.{number}": np.ones(3, np.float32) for number in range(100)}
    content = wire.to_message_content(replace(INSTRUCTION, tensors=tensors, reference=tensors))
    assert {name: len(record) for name, record in content.array_records.items()} == {
        "tensors": 1,
        "backbone": 0,
        "reference": 1,
    }


@pytest.mark.parametrize(
    ("part", "blob_of_it", "finding"),
    [
        ("tensors", save({"a": np.ones(1)}), "tensor 'a' has dtype float64"),
        ("backbone", b"", "record 'backbone': 0 bytes are not a safetensors blob"),
    ],
)
def test_a_center_refuses_a_blob_not_as_agreed(part: str, blob_of_it: bytes, finding: str) -> None:
    content = wire.to_message_content(INSTRUCTION)
    content[part] = ArrayRecord({"packed": Array("float32", (1,), "safetensors", blob_of_it)})
    with pytest.raises(PayloadError, match=finding):
        wire.read_instruction(content)


@pytest.mark.parametrize(
    ("frame", "finding"),
    [
        (b"", "0 bytes are not a safetensors blob"),
        (struct.pack("<Q", 2**40) + b"{}", "not a safetensors blob"),
        (frames.pack_reply(REPLY)[:-1], "not a safetensors blob"),
        (save({}), r"blob has metadata \[\], expected only 'header'"),
        (save({"scan/ct": np.ones(1, np.float32)}, metadata={"header": "{}"}), "'scan/ct' is in no known part"),
        (save({"payload/a": np.ones(1, np.int32)}, metadata={"header": reply_json()}), "'a' has dtype int32"),
        (frames.pack_instruction(replace(INSTRUCTION, tensors={})), "center: Field required"),
    ],
)
def test_frames_not_as_agreed_are_refused(frame: bytes, finding: str) -> None:
    with pytest.raises(PayloadError, match=finding):
        frames.unpack_reply(frame)


def test_frames_of_equal_replies_are_equal_bytes() -> None:
    assert frames.pack_reply(REPLY) == frames.pack_reply(replace(REPLY))


@pytest.mark.parametrize("through", ENCODINGS)
def test_a_reference_of_another_dtype_is_refused(through: Through) -> None:
    with pytest.raises(PayloadError, match="'x' has dtype float64"):
        through(changed(INSTRUCTION, reference={"x": np.ones(2)}))


@pytest.mark.parametrize("through", ENCODINGS)
def test_tensors_backbone_and_reference_are_kept_apart(through: Through) -> None:
    """One key, three values."""
    one, two, three = ({"a": np.full(1, value, np.float32)} for value in (1, 2, 3))
    found = through(replace(INSTRUCTION, tensors=one, backbone=two, reference=three))
    assert [part["a"].item() for part in (found.tensors, found.backbone, found.reference)] == [1, 2, 3]


def test_message_types_are_those_of_flower() -> None:
    """Flower has three; what loads a state and scores it evaluates, what only tells something queries."""
    assert {kind: wire.message_type(kind) for kind in get_args(Kind)} == {
        "register": MessageType.QUERY,
        "train": MessageType.TRAIN,
        "evaluate": MessageType.EVALUATE,
        "compare": MessageType.EVALUATE,
        "observe": MessageType.QUERY,
        "collect": MessageType.QUERY,
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
    assert wire.claimed_kind(RecordDict({"header": ConfigRecord({"json": text})}), of_type) == kind


def test_a_message_without_a_header_is_of_the_first_kind_of_its_type() -> None:
    assert wire.claimed_kind(RecordDict({}), MessageType.EVALUATE) == "evaluate"


def test_tensor_bytes_are_four_an_element() -> None:
    assert tensor_bytes({"a": np.ones((2, 3), np.float32), "b": np.ones(5, np.float32)}) == 44
