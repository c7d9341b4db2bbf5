"""Instructions and replies come back equal from Flower records and from a local frame; tensors bit for bit."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord
from hypothesis import given
from safetensors.numpy import save

from protocol.errors import PayloadError
from protocol.flower_codec import read_instruction, read_reply, reply_content, to_message_content
from protocol.messages.instruction import Instruction
from protocol.socket_codec import pack_instruction, pack_reply, unpack_instruction, unpack_reply
from tests.support.messages import INSTRUCTION, INSTRUCTIONS, REPLIES, REPLY, exactly, reply_json

Through = Callable[[Any], Any]


def through_flower(value: Any) -> Any:
    if isinstance(value, Instruction):
        return read_instruction(to_message_content(value))
    return read_reply(reply_content(value))


def through_a_frame(value: Any) -> Any:
    if isinstance(value, Instruction):
        return unpack_instruction(pack_instruction(value))
    return unpack_reply(pack_reply(value))


ENCODINGS = [through_flower, through_a_frame]


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


@pytest.mark.parametrize("through", ENCODINGS)
def test_other_dtypes_are_refused_by_name(through: Through) -> None:
    wrong: Any = {"x": np.ones(2), "y": np.ones(2, np.float16)}
    with pytest.raises(PayloadError, match="'x' has dtype float64, expected float32; tensor 'y' has dtype float16"):
        through(replace(INSTRUCTION, tensors=wrong))


@pytest.mark.parametrize("through", ENCODINGS)
def test_a_reference_of_another_dtype_is_refused(through: Through) -> None:
    wrong: Any = {"x": np.ones(2)}
    with pytest.raises(PayloadError, match="'x' has dtype float64"):
        through(replace(INSTRUCTION, reference=wrong))


@pytest.mark.parametrize("through", ENCODINGS)
def test_tensors_backbone_and_reference_are_kept_apart(through: Through) -> None:
    """One key, three values."""
    one, two, three = ({"a": np.full(1, value, np.float32)} for value in (1, 2, 3))
    found = through(replace(INSTRUCTION, tensors=one, backbone=two, reference=three))
    assert [part["a"].item() for part in (found.tensors, found.backbone, found.reference)] == [1, 2, 3]


@pytest.mark.parametrize("through", ENCODINGS)
def test_what_is_wrong_is_refused_before_it_travels(through: Through) -> None:
    with pytest.raises(PayloadError, match=r"reply of center 'hgj': .*\n  loss: Input should be a finite number"):
        through(replace(REPLY, loss=float("nan")))


def test_tensors_without_a_payload_are_refused() -> None:
    text = reply_json(payload=None)
    content = reply_content(REPLY)
    content["header"] = ConfigRecord({"json": text})
    with pytest.raises(PayloadError, match="field payload is null beside 1 tensor"):
        read_reply(content)
    with pytest.raises(PayloadError, match="field payload is null beside 1 tensor"):
        unpack_reply(save({"payload/a": np.ones((2, 2), np.float32)}, metadata={"header": text}))
